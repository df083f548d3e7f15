"""Parses source text with tree-sitter. A language's grammar is imported when the language is first parsed.

A parse that exceeds its time budget is abandoned.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import sys
import time

import tree_sitter

from starcoder_ls.languages.table import by_id

Node = tree_sitter.Node

BUDGET_MS = 30.0
"""5,000 lines of Python (170 kB) take 21 ms, the 3,300 characters that a prompt holds 0.2 ms (Zen 4, one core)."""

_CHUNK_BYTES = 1 << 16

_PROBE_GRAMMAR, _PROBE = "tree_sitter_python", b"print(1)\n"

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


def parse(source: bytes, language_id: str, budget_ms: float = BUDGET_MS) -> tree_sitter.Tree | None:
    """The tree of ``source``, from ``encode``; None without a grammar, or after ``budget_ms``."""
    grammar = by_id(language_id).grammar
    language = _load_grammar(grammar) if grammar else None
    if language is None:
        return None
    return _parse_in_time(tree_sitter.Parser(language), source, budget_ms)


def _parse_in_time(parser: tree_sitter.Parser, source: bytes, budget_ms: float) -> tree_sitter.Tree | None:
    deadline_s = time.perf_counter() + budget_ms / 1000
    reader = _Reader(source)
    try:
        return parser.parse(reader.read, progress_callback=lambda _offset, _has_error: time.perf_counter() > deadline_s)
    except ValueError:  # tree-sitter raises it when the callback cancels the parse
        return None
    finally:
        reader.release(_leaked_references())


class _Reader:
    """Passes a source to tree-sitter, which cancels only parses that read by a callback.

    tree-sitter 0.26 never releases what such a callback returns: each parse, and there are some per key, kept
    its source for ever. ``release`` gives back what ``_leaked_references`` has measured, so that a version without the
    fault is used as it is.
    """

    def __init__(self, source: bytes) -> None:
        self._source = memoryview(source)
        self._chunks: list[bytes] = []

    def read(self, start: int, _point: object) -> bytes:
        chunk = self._source[start : start + _CHUNK_BYTES].tobytes()  # an object that only this reader knows
        if len(chunk) > 1:  # shorter ones are shared by the whole interpreter
            self._chunks.append(chunk)
        return chunk

    def release(self, references: int) -> None:
        """Drop so many references to each chunk that tree-sitter has not dropped."""
        for chunk in self._chunks:
            for _ in range(references):
                ctypes.pythonapi.Py_DecRef(ctypes.py_object(chunk))
        self._chunks.clear()

    def fewest_references(self) -> int:
        return min(map(sys.getrefcount, self._chunks))


@functools.cache
def _leaked_references() -> int:
    """How many references to a chunk are left when its parser and its tree are gone. Measured once."""
    language = _load_grammar(_PROBE_GRAMMAR)
    if language is None or sys.implementation.name != "cpython":
        return 0
    unused, used = _Reader(_PROBE), _Reader(_PROBE)
    unused.read(0, None)
    tree_sitter.Parser(language).parse(used.read, progress_callback=lambda _offset, _has_error: False)
    return max(0, used.fewest_references() - unused.fewest_references())
