"""The closing brackets and quotes right of the cursor, which editors insert automatically.

Decides which characters count as such, and which of them a suggestion repeats and therefore replaces.
"""

from __future__ import annotations

import re

ONLY_CLOSERS = re.compile(r"[)\]}\"'`;,:>]+")
_CLOSERS_AT_LINE_END = re.compile(ONLY_CLOSERS.pattern + r"(?=[ \t]*(?:[\r\n]|\Z))")
_QUOTES = "\"'`"
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def closers_at(text: str, offset: int = 0) -> str:
    """The closers from ``offset`` to the end of its line; empty if the line has anything else there but blanks."""
    match = _CLOSERS_AT_LINE_END.match(text, offset)
    return match.group() if match else ""


def count_replaced(suggestion: str, closers: str) -> int:
    """How many of ``closers``, from the first, ``suggestion`` contains itself and therefore has to replace.

    ``foo(|)`` and the suggestion ``a) + 1``: it contains the bracket that the editor inserted.
    """
    count, start = 0, 0
    while count < len(closers):
        index = _find_closer(suggestion, start, closers[count])
        if index is None:
            break
        count, start = count + 1, index + 1
    tail = closers[count:]
    return len(closers) if count and tail and suggestion.rstrip().endswith(tail) else count


def _find_closer(text: str, start: int, closer: str) -> int | None:
    """Where ``text``, from ``start`` on, has ``closer`` for something that was opened before ``start``."""
    depth, quote = 0, closer if closer in _QUOTES else ""
    is_outer_quote = bool(quote)
    index = start
    while index < len(text):
        char = text[index]
        if quote:
            if char == "\\":
                index += 1
            elif char == quote:
                if is_outer_quote:
                    return index
                quote = ""
            elif char == "\n":
                quote, is_outer_quote = "", False
        elif char in _QUOTES:
            quote = char
        elif char in _PAIRS:
            depth += 1
        elif char in _PAIRS.values():
            if depth == 0:
                return index if char == closer else None
            depth -= 1
        elif char == closer and depth == 0:
            return None  # a comma or a colon does not show what was open
        index += 1
    return None
