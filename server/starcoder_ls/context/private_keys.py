"""Private keys in texts: PEM, OpenPGP, OpenSSH, PuTTY, encrypted vaults; also in strings, comments and unfinished.

Decides how far a key reaches: up to its end mark, or as far as rows look like those of a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_KEY_CHARS = 12_000
"""The longest key that is found, from its begin mark to its end mark."""

_LITERALS = ("PRIVATE KEY", "$ANSIBLE_VAULT;", "Private-Lines:")
_MARK = re.compile(
    r"-{4,5} ?BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
    r"|\$ANSIBLE_VAULT;[0-9.]{1,6};[A-Z0-9]{1,12}(?:;[\w-]{1,40})?"
    r"|Private-Lines: ?[0-9]{1,4}"
)
_MARK_CHARS_BEFORE = 44
_DASHES = 5
_END = re.compile(r"-{4,5} ?(?:BEGIN|END)")
_MIN_KEY_CHARS = 16
_KEY_CHARS = re.compile(r"[A-Za-z0-9+/=]{12,}+")

_ROW = r"[A-Za-z0-9+/=]{24,200}+"
_BETWEEN = r"(?:\\[nr]|[\s\"'`,#*;>|+/\\-]){0,60}+"
_HEADER = r"(?:(?:Version|Comment|Hash|Charset|Proc-Type|DEK-Info|MessageID)[ ]?:[^\n\\]{0,100}+)"
_ROWS = re.compile(
    rf"(?:{_BETWEEN}{_HEADER}){{0,6}}+{_BETWEEN}({_ROW}(?:{_BETWEEN}{_ROW})*+(?:{_BETWEEN}[A-Za-z0-9+/]{{1,23}}={{1,2}}(?![\w+/=]))?)"
)


def find_private_keys(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of what is secret of each key whose begin mark is in ``start`` .. ``end``.

    Without an end mark a key ends with its last row. Code that only names the mark has no key.
    """
    for literal in _LITERALS:
        position = text.find(literal, start, end)
        while position >= 0:
            first = position
            if literal == _LITERALS[0]:
                first = text.rfind("BEGIN ", max(0, position - _MARK_CHARS_BEFORE), position) - _DASHES
            mark = _MARK.search(text, max(0, first), position + 100) if first >= -_DASHES else None
            if mark and mark.start() <= position < mark.end():
                limit = mark.end() + MAX_KEY_CHARS
                closing = _END.search(text, mark.end(), limit) if literal == _LITERALS[0] else None
                if closing and closing[0].endswith("END") and _is_key(text[mark.end() : closing.start()]):
                    yield mark.end(), closing.start()
                elif rows := _ROWS.match(text, mark.end(), limit):
                    yield rows.span(1)
            position = text.find(literal, position + len(literal), end)


def _is_key(body: str) -> bool:
    """At least half of the characters are in rows of a key; unlike code that names both marks."""
    chars = sum(len(row) for row in _KEY_CHARS.findall(body))
    return chars >= _MIN_KEY_CHARS and 2 * chars >= len(body)
