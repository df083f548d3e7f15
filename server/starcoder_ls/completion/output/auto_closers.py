"""The closing brackets and quotes right of the cursor, which editors insert by themselves.

Decides what counts as such, and which of them a suggestion says again. Refuses to know models.
"""

from __future__ import annotations

import re

ONLY = re.compile(r"[)\]}\"'`;,:>]+")
_ONLY_CLOSERS = re.compile(r"[)\]}\"'`;,:>]+(?=[ \t]*(?:[\r\n]|\Z))")
_QUOTES = "\"'`"
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def right_of(text: str, offset: int = 0) -> str:
    """The closers between ``offset`` and the end of its line, if there is nothing else but blanks; else nothing."""
    match = _ONLY_CLOSERS.match(text, offset)
    return match.group() if match else ""


def taken(said: str, closers: str) -> int:
    """How many of ``closers``, from the first, ``said`` closes itself: those it has to replace.

    ``foo(|)`` and ``a) + 1``: the bracket that the editor closed is in the suggestion already.
    """
    count, at = 0, 0
    while count < len(closers):
        place = _closed(said, at, closers[count])
        if place is None:
            break
        count, at = count + 1, place + 1
    tail = closers[count:]
    return len(closers) if count and tail and said.rstrip().endswith(tail) else count


def _closed(said: str, at: int, closer: str) -> int | None:
    """Where ``said`` has ``closer`` for something that was open before it, from ``at`` on."""
    depth, quote = 0, closer if closer in _QUOTES else ""
    is_ours = bool(quote)
    place = at
    while place < len(said):
        char = said[place]
        if quote:
            if char == "\\":
                place += 1
            elif char == quote:
                if is_ours:
                    return place
                quote = ""
            elif char == "\n":
                quote, is_ours = "", False
        elif char in _QUOTES:
            quote = char
        elif char in _PAIRS:
            depth += 1
        elif char in _PAIRS.values():
            if depth == 0:
                return place if char == closer else None
            depth -= 1
        elif char == closer and depth == 0:
            return None  # a comma or a colon says nothing about what was open
        place += 1
    return None
