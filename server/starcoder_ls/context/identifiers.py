"""The identifiers of a text: what two pieces of code have in common.

Decides what counts as one, and how texts are cut into pieces. Refuses to know where texts come from.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

PIECE_LINES = 30

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,63}")

# Of every language at once; a word that is everywhere says nothing, and without an index nobody else knows that.
_EVERYWHERE = """
and assert async await bool break case catch char class const continue def default del elif else enum except export
extends false final finally float for from func function global implements import include int interface lambda let long
mut namespace new nil none not null package pass private protected pub public raise return self static str string struct
super switch template this throw throws true try type typedef union unsigned use using var void while with yield the
that was you are
"""
_KNOWN = frozenset(_EVERYWHERE.split())


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines of a file, from line ``start`` on."""

    path: str
    start: int
    text: str


def pieces(path: str, text: str, lines: int = PIECE_LINES) -> Iterator[Piece]:
    """``text`` cut every ``lines`` lines."""
    found = text.split("\n")
    for start in range(0, len(found), lines):
        yield Piece(path, start, "\n".join(found[start : start + lines]))


def line_start(text: str, line: int) -> int:
    """Where ``line`` starts; the end of ``text`` where there are not so many."""
    at = 0
    for _ in range(line):
        at = text.find("\n", at) + 1
        if at == 0:
            return len(text)
    return at


def words(text: str) -> list[str]:
    """Each identifier once, in lower case, the last ones first: near the cursor is what matters."""
    found = reversed(_WORD.findall(text))
    return list(dict.fromkeys(low for word in found if (low := word.lower()) not in _KNOWN))


@functools.lru_cache(maxsize=8192)
def word_set(text: str) -> frozenset[str]:
    """Remembered: the pieces of open buffers are compared again and again."""
    return frozenset(words(text))


@functools.lru_cache(maxsize=8192)
def line_set(text: str) -> frozenset[str]:
    """The lines that say something, without their indentation."""
    return frozenset(line for raw in text.split("\n") if len(line := raw.strip()) >= 6)
