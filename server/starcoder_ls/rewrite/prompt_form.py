"""Chooses the form of an action's prompt: the texts around a question, and how a model marks the end of its answer.

The setting `template` has one, or is `auto`: the chat template of the checkpoint if it has one, else the question form.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.actions import Becomes
from starcoder_ls.errors import ActionUnavailable
from starcoder_ls.generation import ChatFormat, Status
from starcoder_ls.settings import AUTO, TEMPLATE

_QUESTION = "{question}"

SYSTEM_MESSAGES: dict[Becomes, str] = {
    "text": "You are a programming assistant. Answer about the code that you are given, briefly and correctly.",
    "docstring": "You document source code. Answer with the description only, in a few sentences, without code.",
    "replacement": (
        "You edit source code. Answer with the complete changed code in one code block and nothing else: "
        "no examples, no tests, no explanations."
    ),
    "insertion": "You write source code. Answer with the new code in one code block and nothing else.",
}
"""What a chat-tuned model is told before the question, by what its answer becomes."""


@dataclass(frozen=True, slots=True)
class PromptForm:
    """``prefix`` and ``suffix`` are the texts around the question. Literals of special tokens in them are tokens.

    ``end_tokens`` end the answer beside those of the prefix and suffix. ``question_prefix`` and ``question_suffix`` are
    what a model writes around a question if it repeats one. ``has_fences``: code in the question is a fenced block.
    """

    prefix: str
    suffix: str
    question_prefix: str
    question_suffix: str
    end_tokens: tuple[str, ...] = ()
    has_fences: bool = False


def choose_prompt_form(template: str, becomes: Becomes, status: Status) -> PromptForm:
    """The form that the setting ``template`` means for the model of ``status``.

    Raises ActionUnavailable if it means the model's chat template and that cannot be used.
    """
    if template == AUTO and status.chat is not None:
        return _chat_form(status.chat, SYSTEM_MESSAGES[becomes])
    prefix, _, suffix = (TEMPLATE if template == AUTO else template).partition(_QUESTION)
    return PromptForm(prefix, suffix, prefix.strip(), suffix.strip())


def _chat_form(chat: ChatFormat, system_message: str) -> PromptForm:
    """Raises ActionUnavailable."""
    if chat.problem:
        raise ActionUnavailable(
            f"The chat template of this model {chat.problem}. Set `template` in the section `[model]`, such as "
            f"{TEMPLATE!r}."
        )
    if chat.before_system is None:
        prefix = f"{chat.before_question}{system_message}\n\n"
    else:
        prefix = f"{chat.before_system}{system_message}{chat.before_question}"
    question_suffix = chat.after_question.strip() if chat.next_question else ""
    return PromptForm(prefix, chat.after_question, chat.next_question, question_suffix, chat.end_tokens, True)
