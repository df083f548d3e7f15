"""Filters for the blanks of a suggestion: indentation as the document has it, no blanks at line ends."""

from __future__ import annotations

import re
from functools import partial

from starcoder_ls.completion.insertion_point import InsertionPoint

_LEADING_BLANKS = re.compile(r"\A[ \t]+")
_BLANKS_PER_TAB = 4
_NO_RECIPE = re.compile(
    r"#|[^\s=]+\s*[:+?!]{0,2}=|-?(?:include|sinclude|ifn?eq|ifn?def|else|endif|define|endef|export)\b"
)
"""The beginning of an unindented line of a makefile that is no command: a comment, an assignment or a directive."""


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
    """Indent with tabs where the language demands them, otherwise with what the document uses, otherwise unchanged.

    The first line is included if nothing stands before the cursor on its line.
    """
    lines = text.split("\n")
    start = 1 if point.line_before else 0
    is_indented = any(line[:1] in (" ", "\t") for line in lines[start:])
    unit = point.shown_indent_unit if is_indented else ""
    if unit and any(line.startswith(" " if unit == "\t" else "\t") for line in lines[start:]):
        widths = [len(line) - len(line.lstrip(" ")) for line in lines[start:] if line.startswith(" ")]
        blanks_per_tab = min(_BLANKS_PER_TAB, max(2, min(widths, default=_BLANKS_PER_TAB)))
        convert = partial(_convert_blanks, unit=unit, blanks_per_tab=blanks_per_tab)
        lines[start:] = [_LEADING_BLANKS.sub(lambda match: convert(match.group()), line) for line in lines[start:]]
    if point.language.recipe_opener:
        _indent_recipes(lines, start, point)
    return "\n".join(lines)


def _convert_blanks(blanks: str, unit: str, blanks_per_tab: int) -> str:
    if unit != "\t":
        return blanks.replace("\t", unit)
    tabs = blanks.count("\t")
    spaces = len(blanks) - tabs
    return "\t" * (tabs + spaces // blanks_per_tab) + " " * (spaces % blanks_per_tab)


def _indent_recipes(lines: list[str], start: int, point: InsertionPoint) -> None:
    """Let the lines of a makefile's recipe among ``lines`` begin with a tab; in place, from ``start`` on."""
    opener = re.compile(point.language.recipe_opener)
    previous = point.line_before + lines[0] if start else (point.lines_above or [""])[-1]
    recipe_indent: str | None = None  # of the first line of the recipe, as it was generated
    is_unindented = False
    for index in range(start, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        indent = line[: len(line) - len(line.lstrip())]
        follows_opener = opener.match(previous) is not None
        if not indent:
            is_unindented = (index == 0 and follows_opener) or (is_unindented and not follows_opener)
            if is_unindented and not opener.match(line) and not _NO_RECIPE.match(line):
                lines[index] = "\t" + line
            else:
                is_unindented = False
        elif follows_opener or previous.startswith("\t"):
            recipe_indent = indent if recipe_indent is None or follows_opener else recipe_indent
            is_deeper = indent.startswith(recipe_indent)
            lines[index] = "\t" + (indent.removeprefix(recipe_indent) if is_deeper else "") + line.lstrip()
        previous = lines[index]


def strip_trailing_blanks(text: str, point: InsertionPoint) -> str:
    """Remove blanks at line ends and at the end; a blank before more text on the cursor's line stays."""
    lines = [line.rstrip() for line in text.split("\n")[:-1]] + text.split("\n")[-1:]
    text = "\n".join(lines)
    precedes_text = bool(point.line_after.strip()) and not point.line_after[0].isspace() and len(lines) == 1
    return text if precedes_text else text.rstrip()
