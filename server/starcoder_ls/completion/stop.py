"""Where a suggestion ends: one statement, or the block that the cursor has just opened.

Each rule is asked after every token with the whole text so far. Refuses to know tokens and models.
"""

from __future__ import annotations

import re

from starcoder_ls.generation import StopRule

MAX_LINES = 12
"""A longer suggestion is read by nobody while typing."""

_LOOP = re.compile(r"(.{4,48}?)\1{3}\Z", re.DOTALL)
_LOOP_CHARS = 200

_OPENERS, _CLOSERS = "([{", ")]}"


def is_block_opened(prefix: str) -> bool:
    """True where the cursor stands on a fresh line below one that opens a block (``:`` or ``{`` at its end)."""
    above, newline, own = prefix.rpartition("\n")
    if not newline or own.strip():
        return False
    last = above.rstrip().rpartition("\n")[2]
    return last.rstrip().endswith((":", "{"))


def rule(prefix: str, suffix: str) -> StopRule:
    """The rule for a cursor between ``prefix`` and ``suffix``."""
    following = next((line for line in suffix.split("\n")[1:] if line.strip()), None)
    ends: StopRule = _Statement(following)
    if is_block_opened(prefix):
        ends = _Block(_indentation(prefix.rpartition("\n")[2]), _opener_indentation(prefix), following)
    return lambda text: 0 if is_loop(text) else ends(text)


def is_loop(text: str) -> bool:
    """True once the text says the same four times in a row: then nothing of it is worth showing.

    ``0, 0, 0, 0`` and rulers are no loops: what is repeated must have four characters, a letter among them.
    """
    match = _LOOP.search(text[-_LOOP_CHARS:])
    return match is not None and any(char.isalpha() for char in match.group(1))


class _Statement:
    """Ends with the first line that has content and closes every bracket it opened, or before a line of the file."""

    def __init__(self, following: str | None) -> None:
        self._following = following

    def __call__(self, text: str) -> int | None:
        begin = len(text) - len(text.lstrip("\n"))
        end = text.find("\n", begin)
        lines = 1
        while end >= 0:
            if open_brackets(text[begin:end]) <= 0 or lines >= MAX_LINES:
                return end
            repeated = _repeats(text, end + 1, self._following)
            if repeated is not None:
                return repeated
            end = text.find("\n", end + 1)
            lines += 1
        return None


class _Block:
    """Ends before a line less indented than the block, before a line of the file, and before a second blank line."""

    def __init__(self, own: int, opener: int, following: str | None) -> None:
        self._own, self._opener, self._following = own, opener, following

    def __call__(self, text: str) -> int | None:
        end = text.find("\n")
        lines = 0
        while end >= 0:
            lines += 1
            next_end = text.find("\n", end + 1)
            line = text[end + 1 : next_end if next_end >= 0 else len(text)]
            is_known = bool(line.strip()) or next_end >= 0
            if lines >= MAX_LINES or text.startswith("\n\n\n", end):
                return end
            if line.strip() and self._has_left(line):
                return len(text[:end].rstrip())
            if is_known and (repeated := _repeats(text, end + 1, self._following)) is not None:
                return repeated
            end = next_end
        return None

    def _has_left(self, line: str) -> bool:
        depth = _indentation(line)
        is_closer = depth == self._opener and line.lstrip()[0] in _CLOSERS  # the brace that ends a C-like block
        floor = max(self._own, self._opener + 1)
        return depth < floor and not is_closer


def open_brackets(text: str) -> int:
    """Opened minus closed brackets outside of one-line strings; negative when the text closes what it did not open."""
    depth, quote, is_escaped = 0, "", False
    for char in text:
        if quote:
            if is_escaped:
                is_escaped = False
            elif char == "\\":
                is_escaped = True
            elif char in (quote, "\n"):
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in _OPENERS:
            depth += 1
        elif char in _CLOSERS:
            depth -= 1
    return depth


def _repeats(text: str, line_start: int, following: str | None) -> int | None:
    """Where to cut if the complete line at ``line_start`` is the file's next one and says something."""
    end = text.find("\n", line_start)
    if following is None or end < 0 or text[line_start:end].rstrip() != following.rstrip():
        return None
    return len(text[:line_start].rstrip()) if any(char.isalnum() for char in following) else None


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _opener_indentation(prefix: str) -> int:
    return _indentation(prefix.rpartition("\n")[0].rstrip().rpartition("\n")[2])
