"""Parses source text with tree-sitter. A language's grammar is imported when the language is first parsed.

A parse that exceeds its time budget is abandoned.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import time
from typing import ClassVar, Self

import tree_sitter

from starcoder_ls.languages.table import by_id

Node = tree_sitter.Node

BUDGET_MS = 30.0
"""5,000 lines of Python (170 kB) take 21 ms, the 3,300 characters that a prompt holds 0.2 ms (Zen 4, one core)."""

_CHUNK_BYTES = 1 << 16

_log = logging.getLogger(__name__)


@functools.cache
def _load_grammar(grammar: str) -> tree_sitter.Language | None:
    module, _, function = grammar.partition(":")
    try:
        return tree_sitter.Language(getattr(importlib.import_module(module), function or "language")())
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: a grammar of another ABI
        _log.warning("The grammar %s cannot be loaded, so plain rules are used for its language: %s", module, error)
        return None


def encode(text: str) -> bytes:
    """``text`` in UTF-8, for ``parse``. A lone surrogate, which JSON can carry and UTF-8 cannot, becomes ``?``."""
    return text.encode("utf-8", "replace")


def parse(
    source: bytes, language_id: str, budget_ms: float = BUDGET_MS, edited: tree_sitter.Tree | None = None
) -> tree_sitter.Tree | None:
    """The tree of ``source``, from ``encode``; None without a grammar, or after ``budget_ms``.

    ``edited`` is the tree of an earlier source in which the changes are marked: its unchanged parts are not parsed.
    """
    grammar = by_id(language_id).grammar
    language = _load_grammar(grammar) if grammar else None
    if language is None:
        return None
    return _parse_in_time(tree_sitter.Parser(language), source, budget_ms, edited)


def _parse_in_time(
    parser: tree_sitter.Parser, source: bytes, budget_ms: float, edited: tree_sitter.Tree | None
) -> tree_sitter.Tree | None:
    deadline_s = time.perf_counter() + budget_ms / 1000

    def is_late(_offset: int, _has_error: bool) -> bool:
        return time.perf_counter() > deadline_s

    with _Reader(source) as reader:
        try:
            if edited is not None:
                return parser.parse(reader.read, edited, progress_callback=is_late)
            return parser.parse(reader.read, progress_callback=is_late)
        except ValueError:  # tree-sitter raises it when the callback cancels the parse
            return None


class _Reader:
    """Passes a source to tree-sitter, which cancels only parses that read by a callback.

    tree-sitter 0.26 never releases the objects that such a callback returns. A reader therefore returns the same
    buffer each time, and the next reader takes that one again: what remains is a few buffers, as many as there were
    parses at the same time, and not each source for ever.
    """

    _free_buffers: ClassVar[list[bytearray]] = []

    def __init__(self, source: bytes) -> None:
        self._source = memoryview(source)

    def __enter__(self) -> Self:
        try:
            self._buffer = self._free_buffers.pop()  # one step, so that no other thread takes the same one
        except IndexError:
            self._buffer = bytearray()
        return self

    def __exit__(self, *_error: object) -> None:
        self._source = memoryview(b"")  # the tree holds its reader
        buffer, self._buffer = self._buffer, bytearray()
        with contextlib.suppress(BufferError):
            buffer.clear()
            self._free_buffers.append(buffer)

    def read(self, start: int, _point: object) -> bytearray:
        """The bytes from ``start`` on, valid until the next call; none at the end of the source."""
        chunk = self._source[start : start + _CHUNK_BYTES]
        try:
            self._buffer[:] = chunk
        except BufferError:  # a version of tree-sitter that locks what it was given, and releases it
            self._buffer = bytearray(chunk)
        return self._buffer
