"""What of a generated text is shown: pure filters in order, each with its reason.

Refuses to know how the text was made.
"""

from __future__ import annotations

import re

from starcoder_ls.completion.stop import open_brackets
from starcoder_ls.generation import Finish

_UNSAFE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufffd"
    "\U000e0000-\U000e007f]"
)
"""Control, bidirectional, zero-width and tag characters (CVE-2021-42574), and broken UTF-8: never in a suggestion."""

_CLOSING = re.compile(r"[)\]}\"'`;,:>]+")
_HALF_WORD = re.compile(r"[A-Za-z0-9_]+$")
_MIN_OVERLAP_CHARS = 3


def shown(text: str, prefix: str, suffix: str, finish: Finish) -> str:
    """What to insert between ``prefix`` and ``suffix``; empty if nothing is worth it."""
    text = before_unsafe(text)
    text = whole_at_limit(text, finish)
    text = without_repeated_lines(text, suffix)
    text = without_suffix_overlap(text, suffix)
    text = without_line_above(text, prefix)
    rest = suffix.split("\n", 1)[0]
    has_rest = bool(rest.strip()) and not rest[0].isspace() and "\n" not in text
    text = text if has_rest else text.rstrip()  # before the line's rest a blank at the end is meant
    return text if text.strip() else ""


def before_unsafe(text: str) -> str:
    """Cut at the first character that could show one thing and mean another."""
    match = _UNSAFE.search(text)
    return text[: match.start()] if match else text


def whole_at_limit(text: str, finish: Finish) -> str:
    """A generation cut by length or time loses its unfinished last line, or its last half word if it has one line."""
    if finish not in (Finish.LENGTH, Finish.DEADLINE):
        return text
    head, newline, _ = text.rpartition("\n")
    if newline and head.strip():
        return head
    return _HALF_WORD.sub("", text)


def without_repeated_lines(text: str, suffix: str) -> str:
    """Lines at the end that the file already has right below the cursor's line are not suggested again."""
    below = [line.rstrip() for line in suffix.split("\n")[1:] if line.strip()]
    lines = text.split("\n")
    for count in range(min(len(below), len(lines) - 1), 0, -1):
        tail = [line.rstrip() for line in lines[-count:]]
        if tail == below[:count] and any(char.isalnum() for char in "".join(tail)):
            return "\n".join(lines[:-count])
    return text


def without_suffix_overlap(text: str, suffix: str) -> str:
    """The text right of the cursor is not inserted a second time (``)`` that the editor closed, the line's rest)."""
    rest = suffix.split("\n", 1)[0].rstrip()
    if not rest.strip() or not text:
        return text
    if _CLOSING.fullmatch(rest.strip()):
        return _without_closers(text, rest.strip())
    first, newline, _ = text.partition("\n")
    at = first.rstrip().rfind(rest.strip())
    is_long = len(rest.strip()) >= _MIN_OVERLAP_CHARS  # a shorter rest occurs in a line by chance
    if at >= 0 and (first.rstrip().endswith(rest.strip()) or (newline and is_long)):
        return first[:at]
    for length in range(min(len(first), len(rest)), _MIN_OVERLAP_CHARS - 1, -1):
        if first.endswith(rest[:length]):
            return first[:-length]
    return text


def _without_closers(text: str, rest: str) -> str:
    """Cut trailing closers that ``rest`` has already, but none that closes what the text itself opened."""
    first = text.split("\n", 1)[0].rstrip()
    for length in range(min(len(first), len(rest)), 0, -1):
        if first.endswith(rest[:length]):
            kept = first[:-length]
            if open_brackets(kept) <= 0 and not _leaves_quote_open(kept, rest[:length]):
                return kept
    return text


def _leaves_quote_open(kept: str, closers: str) -> bool:
    """True if a quote among the closers ends a string that ``kept`` itself began."""
    return any(mark in closers and kept.count(mark) % 2 == 1 for mark in "\"'`")


def without_line_above(text: str, prefix: str) -> str:
    """A suggestion for a fresh line that only says the line above again is noise."""
    above, newline, own = prefix.rpartition("\n")
    last = above.rstrip().rpartition("\n")[2].strip()
    is_echo = bool(newline) and not own.strip() and text.strip() == last and any(c.isalnum() for c in last)
    return "" if is_echo else text
