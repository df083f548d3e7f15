"""The identifiers and lines of a text, by which pieces of code are compared, and the chunks that texts are cut into."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK_LINES = 30

_MIN_LINE_CHARS = 6
_MAX_CACHED_TEXTS, _MAX_CACHED_CHARS = 1024, 4_000
"""Usual chunks have 1,000 characters: about 5 MB when a cache is full. Four times as many texts raised the share of
hits from 71 to 73 % while two users typed. A longer text has long lines and is no code."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,63}")

# Of all languages: a word that is everywhere distinguishes nothing, and without an index its rarity is unknown.
_COMMON_WORDS = """
and assert async await bool break case catch char class const continue def default del elif else enum except export
extends false final finally float for from func function global implements import include int interface lambda let long
mut namespace new nil none not null package pass private protected pub public raise return self static str string struct
super switch template this throw throws true try type typedef union unsigned use using var void while with yield the
that was you are
"""
_IGNORED = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True)
class CodeChunk:
    """Some lines of a file, from line ``start_line`` (counted from 0) on."""

    path: str
    start_line: int
    text: str


def split_into_chunks(path: str, text: str, lines: int = CHUNK_LINES) -> Iterator[CodeChunk]:
    """``text`` in chunks of ``lines`` lines; the last may be shorter."""
    all_lines = text.split("\n")
    for start in range(0, len(all_lines), lines):
        yield CodeChunk(path, start, "\n".join(all_lines[start : start + lines]))


def line_offset(text: str, line: int) -> int:
    """The offset at which ``line`` (counted from 0) starts; the end of ``text`` if there are not so many lines."""
    offset = 0
    for _ in range(line):
        offset = text.find("\n", offset) + 1
        if offset == 0:
            return len(text)
    return offset


def extract_identifiers(text: str) -> list[str]:
    """Each identifier once, in lower case, the last ones first: those near the cursor are the most relevant."""
    found = reversed(_IDENTIFIER.findall(text))
    return list(dict.fromkeys(lower for word in found if (lower := word.lower()) not in _IGNORED))


def identifier_set(text: str) -> frozenset[str]:
    """Cached, since the chunks of open documents are compared again and again."""
    return _cached_identifier_set(text) if len(text) <= _MAX_CACHED_CHARS else _identifier_set(text)


def content_lines(text: str) -> frozenset[str]:
    """The lines of at least six characters, without their indentation. Cached likewise."""
    return _cached_content_lines(text) if len(text) <= _MAX_CACHED_CHARS else _content_lines(text)


def _identifier_set(text: str) -> frozenset[str]:
    return frozenset(extract_identifiers(text))


def _content_lines(text: str) -> frozenset[str]:
    return frozenset(line for raw in text.split("\n") if len(line := raw.strip()) >= _MIN_LINE_CHARS)


_cached_identifier_set = functools.lru_cache(_MAX_CACHED_TEXTS)(_identifier_set)
_cached_content_lines = functools.lru_cache(_MAX_CACHED_TEXTS)(_content_lines)


def clear_caches() -> None:
    """Forget the texts of all clients."""
    _cached_identifier_set.cache_clear()
    _cached_content_lines.cache_clear()
