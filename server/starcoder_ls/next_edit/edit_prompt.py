"""The request with which a model continues an edit of a window, in the format in which it has seen edits.

Decides what a chat-tuned model is told; commits and issues have only a subject.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.edit_formats import adapt_to_tokens, build_edit_parts, closing_text, join_texts, split_template
from starcoder_ls.generation import ChatFormat, Engine, Priority, PromptPart, Request, SpecialToken, Status
from starcoder_ls.languages.table import by_id
from starcoder_ls.next_edit.edit_route import EditRoute
from starcoder_ls.next_edit.edit_window import EditWindow

_MAX_NEW_LINES_TOKENS = 96
_RESERVED_TOKENS = 128
_FENCE = "```"
_FENCE_NAME = re.compile(r"[^A-Za-z0-9_+#.-]")
_SYSTEM_MESSAGE = (
    "You edit source code. Answer with the complete code after the change in one code block and nothing else."
)


@dataclass(frozen=True, slots=True)
class EditPrompt:
    """``closing``: text that ends the answer, empty if only the request's end tokens do."""

    request: Request
    closing: str


def build_prompt(
    engine: Engine,
    route: EditRoute,
    window: EditWindow,
    subject: str,
    language: str,
    document: str = "",
    client: str = "",
    cancel: CancelFlag | None = None,
) -> EditPrompt | None:
    """None if the window does not fit into the model's context, or contains what ends an answer.

    Raises EngineNotReady.
    """
    status = engine.status()
    closing = closing_text(route.edit_format)
    if closing and any(_FENCE in text for text in (window.before, *window.lines)):
        return None
    new_tokens = engine.count_tokens(window.rest) + _MAX_NEW_LINES_TOKENS
    prompt_tokens = engine.count_tokens(window.before + window.beginning + subject)
    if prompt_tokens + new_tokens + _RESERVED_TOKENS > status.context_tokens:
        return None
    if route.edit_format == "chat":
        assert status.chat is not None
        parts, end_tokens = _chat_parts(status, status.chat, window, subject, language)
    else:
        parts, _, end_tokens = build_edit_parts(route.edit_format, window.before, subject, window.beginning)
        parts = adapt_to_tokens(parts, status.special_tokens)
        end_tokens = tuple(token for token in end_tokens if token.literal in status.special_tokens)
    request = Request(
        parts,
        new_tokens,
        end_tokens=end_tokens,
        prediction=window.rest + closing,
        adapter=route.adapter,
        priority=Priority.NEXT_EDIT,
        document=f"next edit of {document}" if document else "",
        client=client,
        cancel=cancel or CancelFlag(),
    )
    return EditPrompt(request, closing)


def _chat_parts(
    status: Status, chat: ChatFormat, window: EditWindow, subject: str, language: str
) -> tuple[tuple[PromptPart, ...], tuple[SpecialToken, ...]]:
    """The prompt, in which the answer has begun already, and its end tokens."""
    name = _FENCE_NAME.sub("", by_id(language).id)
    code = f"{_FENCE}{name}\n{window.before}\n{_FENCE}"
    texts = [] if chat.before_system is None else [chat.before_system]
    system = [_SYSTEM_MESSAGE] if texts else []
    question = f"{subject}, wherever it is necessary in this code:\n\n{code}"
    if not texts:
        question = f"{_SYSTEM_MESSAGE}\n\n{question}"
    parts = join_texts(
        (
            *(part for text in texts for part in split_template(text, status.special_tokens)),
            *system,
            *split_template(chat.before_question, status.special_tokens),
            question,
            *split_template(chat.after_question, status.special_tokens),
            f"{_FENCE}{name}\n{window.beginning}",
        )
    )
    ends = (*(part for part in parts if isinstance(part, SpecialToken)), *map(SpecialToken, chat.end_tokens))
    return parts, tuple(dict.fromkeys(ends))
