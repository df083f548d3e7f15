"""Filters for the blanks of a suggestion: indentation as the document has it, no blanks at line ends."""

from __future__ import annotations

import re

from starcoder_ls.completion.insertion_point import InsertionPoint

_LEADING_BLANKS = re.compile(r"\A[ \t]+")
_BLANKS_PER_TAB = 4


def match_indentation(text: str, point: InsertionPoint) -> str:
    """Adapt the indentation of ``text`` to the cursor's, where only blanks stand before the cursor.

    A first line that repeats the indentation before the cursor loses it. Below the line that opens a block, with the
    cursor no deeper than that line, ``text`` is indented by one level.
    """
    if not point.is_at_line_start or point.syntax.region != "code" or not text.strip() or text.startswith("\n"):
        return text
    extra = text[: len(text) - len(text.lstrip())]
    cursor_width, opener_width = point.indent_width(point.line_before), point.indent_width(point.block_opener)
    is_too_shallow = point.syntax.follows_block_opener and cursor_width <= opener_width
    if not is_too_shallow:
        return _dedent(text, extra) if extra and point.line_before else text
    is_closing = re.match(point.language.block_closer, text.lstrip()) is not None
    if extra or is_closing or not point.language.has_indented_blocks:
        return text
    return "\n".join(point.indent_unit + line if line.strip() else line for line in text.split("\n"))


def _dedent(text: str, extra: str) -> str:
    """Remove ``extra`` from the first line, and from all others if each begins with it."""
    first, *others = text.split("\n")
    has_all = all(line.startswith(extra) for line in others if line.strip())
    return "\n".join([first[len(extra) :], *(line[len(extra) :] if has_all else line for line in others)])


def convert_indent_characters(text: str, point: InsertionPoint) -> str:
    """Indent the later lines with what the document uses: tabs or blanks."""
    lines = text.split("\n")
    start = 1 if point.line_before else 0
    wrong = " " if point.indent_unit == "\t" else "\t"
    if not any(line.startswith(wrong) for line in lines[start:]):
        return text
    converted = [
        _LEADING_BLANKS.sub(lambda match: _convert_blanks(match.group(), point.indent_unit), line, count=1)
        for line in lines[start:]
    ]
    return "\n".join([*lines[:start], *converted])


def _convert_blanks(blanks: str, unit: str) -> str:
    if unit != "\t":
        return blanks.replace("\t", unit)
    tabs = blanks.count("\t")
    spaces = len(blanks) - tabs
    return "\t" * (tabs + spaces // _BLANKS_PER_TAB) + " " * (spaces % _BLANKS_PER_TAB)


def strip_trailing_blanks(text: str, point: InsertionPoint) -> str:
    """Remove blanks at line ends and at the end; a blank before more text on the cursor's line stays."""
    lines = [line.rstrip() for line in text.split("\n")[:-1]] + text.split("\n")[-1:]
    text = "\n".join(lines)
    precedes_text = bool(point.line_after.strip()) and not point.line_after[0].isspace() and len(lines) == 1
    return text if precedes_text else text.rstrip()
