"""Blanks of a suggestion: indentation as the document has it, none at line ends.

Refuses to know what the words mean.
"""

from __future__ import annotations

import re

from starcoder_ls.completion.insertion_point import InsertionPoint

_LEADING = re.compile(r"\A[ \t]+")
_BLANKS_PER_TAB = 4


def with_own_indentation(text: str, gap: InsertionPoint) -> str:
    """On a fresh line the cursor stands where the code goes: a first line indented once more moves back.

    Below the line that opens a block, with the cursor no deeper than that, it moves in.
    """
    if not gap.is_fresh or gap.spot.region != "code" or not text.strip() or text.startswith("\n"):
        return text
    extra = text[: len(text) - len(text.lstrip())]
    is_too_shallow = gap.spot.follows_block_opener and gap.depth(gap.own) <= gap.depth(gap.opener)
    if not is_too_shallow:
        return _moved_back(text, extra) if extra and gap.own else text
    is_closing = re.match(gap.language.block_closer, text.lstrip()) is not None
    if extra or is_closing or not gap.language.has_indented_blocks:
        return text
    return "\n".join(gap.unit + line if line.strip() else line for line in text.split("\n"))


def _moved_back(text: str, extra: str) -> str:
    """Every line by what the first has too much, if all can."""
    first, *others = text.split("\n")
    has_all = all(line.startswith(extra) for line in others if line.strip())
    return "\n".join([first[len(extra) :], *(line[len(extra) :] if has_all else line for line in others)])


def with_own_tabs(text: str, gap: InsertionPoint) -> str:
    """Later lines are indented with what the document is indented with: tabs or blanks."""
    lines = text.split("\n")
    start = 1 if gap.own else 0
    wrong = " " if gap.unit == "\t" else "\t"
    if not any(line.startswith(wrong) for line in lines[start:]):
        return text
    return "\n".join(
        [
            *lines[:start],
            *(_LEADING.sub(lambda run: _as_in(run.group(), gap.unit), line, count=1) for line in lines[start:]),
        ]
    )


def _as_in(run: str, unit: str) -> str:
    if unit != "\t":
        return run.replace("\t", unit)
    tabs = run.count("\t")
    blanks = len(run) - tabs
    return "\t" * (tabs + blanks // _BLANKS_PER_TAB) + " " * (blanks % _BLANKS_PER_TAB)


def without_trailing_blanks(text: str, gap: InsertionPoint) -> str:
    """None at line ends, and none at the end; only before the line's rest is one meant."""
    lines = [line.rstrip() for line in text.split("\n")[:-1]] + text.split("\n")[-1:]
    text = "\n".join(lines)
    has_rest = bool(gap.rest.strip()) and not gap.rest[0].isspace() and len(lines) == 1
    return text if has_rest else text.rstrip()
