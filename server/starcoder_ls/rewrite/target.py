"""What an action is done to: whole lines of a document, chosen by a selection or by the function around the cursor.

Refuses to know editors' positions, prompts and answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath

from starcoder_ls.context import secrets
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.enclosing_function import Span, enclosing

_COMMENT = re.compile(r"[ \t]*(?:#|//|--|/\*)[ \t]+(?P<words>[^\r\n]*?)[ \t]*(?:\*/)?[ \t]*(?:\r\n?|\n)")
_MIN_WORDS = 2


@dataclass(frozen=True, slots=True)
class Target:
    """``start`` .. ``end`` of ``text``: from a line's first character to a line's last, its end not included."""

    text: str
    start: int
    end: int
    language: str = ""
    path: str = ""
    document: str = ""
    is_function: bool = False
    diagnostics: tuple[str, ...] = ()
    instruction: str = ""

    @property
    def code(self) -> str:
        return self.text[self.start : self.end]

    @property
    def shown(self) -> str:
        """``code`` as a model may see it: secrets masked."""
        return secrets.masked_part(self.text, self.start, self.end)

    @property
    def file(self) -> str:
        return PurePath(self.path).name

    @property
    def line_numbers(self) -> tuple[int, int]:
        """First and last line, from 1."""
        first = len(text_lines.split(self.text[: self.start])) + 1
        return first, first + max(0, len(text_lines.split(self.code)) - 1)


def selected(text: str, start: int, end: int, language: str = "", path: str = "", document: str = "") -> Target | None:
    """The lines that ``start`` .. ``end`` touches, or the function around it where nothing is selected.

    None where there is nothing but blanks, or no function.
    """
    if start >= end:
        around = enclosing(text, start, language)
        return Target(text, around.start, around.end, language, path, document, is_function=True) if around else None
    words = text[start:end].strip()
    if not words:
        return None
    begin = text.index(words, start)
    span = Span(_line_start(text, begin), _line_end(text, begin + len(words)))
    is_function = enclosing(text, _first_word(text, span.start), language) == span
    return Target(text, span.start, span.end, language, path, document, is_function)


def function_of(target: Target) -> Target | None:
    """The function that the target's first line belongs to."""
    if target.is_function:
        return target
    around = enclosing(target.text, _first_word(target.text, target.start), target.language)
    return replace(target, start=around.start, end=around.end, is_function=True) if around else None


def instructed_by_comment(target: Target) -> Target | None:
    """The code below a comment on the first line of a selection, with the comment as its instruction."""
    found = None if target.is_function else _COMMENT.match(target.text, target.start, target.end)
    if found is None or len(found["words"].split()) < _MIN_WORDS:
        return None
    below = selected(target.text, found.end(), target.end, target.language, target.path, target.document)
    return replace(below, instruction=found["words"], diagnostics=target.diagnostics) if below else None


def _first_word(text: str, start: int) -> int:
    return start + len(text_lines.indent(text[start:]))


def _line_start(text: str, offset: int) -> int:
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def _line_end(text: str, offset: int) -> int:
    found = re.compile(r"[^\r\n]*").match(text, offset)
    return found.end() if found else len(text)
