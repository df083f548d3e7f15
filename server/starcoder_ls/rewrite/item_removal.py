"""Removes statements from a text, with the comments that belong to them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from starcoder_ls.syntax.items import Item

_MANY_BLANK_LINES = re.compile(r"\n{4,}")


def remove_items(text: str, items: Sequence[Item], removed: Collection[Item]) -> str:
    """``text`` without the lines of ``removed`` and of the comments right above them.

    ``items`` are all of the text, in order. Removed items may lie inside of each other.
    """
    spans: list[tuple[int, int]] = []
    for number, item in enumerate(items):
        if item not in removed:
            continue
        start, above = item.start, number - 1
        while above >= 0 and items[above].kind == "comment" and "\n\n" not in text[items[above].end : start]:
            start, above = items[above].start, above - 1
        spans.append((text.rfind("\n", 0, start) + 1, _line_end(text, item.end)))
    kept, offset = [], 0
    for start, end in spans:
        kept.append(text[offset : max(start, offset)])
        offset = max(end, offset)
    return _MANY_BLANK_LINES.sub("\n\n\n", "".join([*kept, text[offset:]])).strip("\n")


def _line_end(text: str, offset: int) -> int:
    found = text.find("\n", offset)
    return len(text) if found < 0 else found + 1
