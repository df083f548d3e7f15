"""The formats in which models have seen edits in training: commits, issues, and the chat template of a tuned model.

Decides which of them a checkpoint has, by its special tokens. Sources: `<commit_before>{old}<commit_msg>{subject}
<commit_after>{new}` in bigcode-dataset and octopack; both formats as prompts in bigcode-evaluation-harness
(humanevalpack.py, "starcodercommit" and "issue"), where the answer begins with the code's own first line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from starcoder_ls.generation import PromptPart, SpecialToken, Status
from starcoder_ls.settings import BUNDLED, Settings

EditFormat = Literal["commit", "issue", "chat"]

_COMMIT = ("<commit_before>", "<commit_msg>", "<commit_after>")
_ISSUE = ("<issue_start>", "<issue_comment>")


def find_edit_format(settings: Settings, status: Status) -> EditFormat | None:
    """How the model of ``status`` edits code without an adapter; None if it cannot.

    The bundled model has the tokens, but has seen no commits.
    """
    if settings.model.name == BUNDLED:
        return None
    if status.chat is not None:
        return None if status.chat.problem else "chat"
    if status.special_tokens.issuperset(_COMMIT):
        return "commit"
    return "issue" if status.special_tokens.issuperset(_ISSUE) else None


def build_edit_parts(
    edit_format: EditFormat, code: str, subject: str, start: str
) -> tuple[tuple[PromptPart, ...], str, tuple[SpecialToken, ...]]:
    """The prompt for a change of ``code``, what of it belongs to the answer, and the tokens that end the answer.

    For the formats of commits and issues. ``start`` is given to the model as the beginning of the answer.
    """
    if edit_format == "commit":
        before, message, after = map(SpecialToken, _COMMIT)
        parts: list[PromptPart] = [before, code, message, subject, after]
        ends = tuple(map(SpecialToken, (*_COMMIT, "<filename>", "<reponame>")))
        return (*parts, *([start] if start else [])), start, ends
    issue, comment = map(SpecialToken, _ISSUE)
    opening = start or "\n"  # without a first line, the line of the fence has to end
    question = f"username_0: {subject}\n\n```{code}```\nUpvotes: 100"
    answer = f"username_1: Sure, here is the fixed code.\n\n```{opening}"
    ends = tuple(map(SpecialToken, (*_ISSUE, "<issue_closed>", "<file_sep>")))
    return (issue, question, comment, answer), f"```\n{start}", ends


def split_template(template: str, special_tokens: frozenset[str]) -> list[PromptPart]:
    """The texts and special tokens of a template. Code is never split: the same characters in code stay text."""
    if not special_tokens:
        return [template] if template else []
    literals = "|".join(re.escape(literal) for literal in sorted(special_tokens, key=len, reverse=True))
    texts = [text for text in re.split(f"({literals})", template) if text]
    return [SpecialToken(text) if text in special_tokens else text for text in texts]


def join_texts(parts: Iterable[PromptPart]) -> tuple[PromptPart, ...]:
    """``parts`` with adjacent texts as one part, as in training: a token may reach across their border."""
    joined: list[PromptPart] = []
    for part in parts:
        if joined and isinstance(part, str) and isinstance(joined[-1], str):
            joined[-1] += part
        elif part:
            joined.append(part)
    return tuple(joined)


def find_trained_format(special_tokens: frozenset[str]) -> EditFormat:
    """The format in which an adapter learns edits: that of commits where the base has its tokens, else of issues."""
    return "commit" if special_tokens.issuperset(_COMMIT) else "issue"


def closing_text(edit_format: EditFormat) -> str:
    """The text that ends the code of an answer; empty if only a token does."""
    return "" if edit_format == "commit" else "\n```"


def adapt_to_tokens(parts: Iterable[PromptPart], special_tokens: frozenset[str]) -> tuple[PromptPart, ...]:
    """``parts`` for a model that lacks some of their special tokens: a blank line stands for each between two texts."""
    adapted: list[PromptPart] = []
    for part in parts:
        if isinstance(part, str) or part.literal in special_tokens:
            adapted.append(part)
        elif adapted:
            adapted.append("\n\n")
    return join_texts(adapted)
