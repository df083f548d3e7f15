"""The lines of a document that an action works on: the selected ones, or the function around the cursor."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath

from starcoder_ls.context import secrets
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.enclosing_function import Span, find_enclosing_function

_COMMENT_LINE = re.compile(r"[ \t]*(?:#|//|--|/\*)[ \t]+(?P<words>[^\r\n]*?)[ \t]*(?:\*/)?[ \t]*(?:\r\n?|\n)")
_MIN_INSTRUCTION_WORDS = 2


@dataclass(frozen=True, slots=True)
class Target:
    """Whole lines of ``text``, from the offset ``start`` to ``end``; the line end of the last line is not included."""

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
    def masked_code(self) -> str:
        """``code`` with secrets masked, as a model may see it."""
        return secrets.mask_secrets_in_range(self.text, self.start, self.end)

    @property
    def file_name(self) -> str:
        return PurePath(self.path).name

    @property
    def line_numbers(self) -> tuple[int, int]:
        """The first and the last line, from 1."""
        first = len(text_lines.split_lines(self.text[: self.start])) + 1
        return first, first + max(0, len(text_lines.split_lines(self.code)) - 1)


def find_target(
    text: str, start: int, end: int, language: str = "", path: str = "", document: str = ""
) -> Target | None:
    """The lines that ``start`` .. ``end`` touches, or the function around ``start`` if that range is empty.

    None if the range holds only blanks, or if there is no function.
    """
    if start >= end:
        span = find_enclosing_function(text, start, language)
        return Target(text, span.start, span.end, language, path, document, is_function=True) if span else None
    selected = text[start:end].strip()
    if not selected:
        return None
    first = text.index(selected, start)
    span = Span(_line_start(text, first), _line_end(text, first + len(selected)))
    is_function = find_enclosing_function(text, _first_nonblank(text, span.start), language) == span
    return Target(text, span.start, span.end, language, path, document, is_function)


def expand_to_function(target: Target) -> Target | None:
    """The function that the target's first line belongs to; None if there is none."""
    if target.is_function:
        return target
    span = find_enclosing_function(target.text, _first_nonblank(target.text, target.start), target.language)
    return replace(target, start=span.start, end=span.end, is_function=True) if span else None


def extract_comment_instruction(target: Target) -> Target | None:
    """The code below a comment on the target's first line, with the comment as its instruction; None without one."""
    comment = None if target.is_function else _COMMENT_LINE.match(target.text, target.start, target.end)
    if comment is None or len(comment["words"].split()) < _MIN_INSTRUCTION_WORDS:
        return None
    below = find_target(target.text, comment.end(), target.end, target.language, target.path, target.document)
    return replace(below, instruction=comment["words"], diagnostics=target.diagnostics) if below else None


def _first_nonblank(text: str, start: int) -> int:
    return start + len(text_lines.indentation_of(text[start:]))


def _line_start(text: str, offset: int) -> int:
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def _line_end(text: str, offset: int) -> int:
    rest_of_line = re.compile(r"[^\r\n]*").match(text, offset)
    return rest_of_line.end() if rest_of_line else len(text)
