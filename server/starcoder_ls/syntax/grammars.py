"""Parses source text with tree-sitter. A language's grammar is imported when the language is first parsed.

A parse that exceeds its time budget is abandoned.
"""

from __future__ import annotations

import functools
import importlib
import logging
import time

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


def parse(source: bytes, language_id: str, budget_ms: float = BUDGET_MS) -> tree_sitter.Tree | None:
    """The tree of ``source``, from ``encode``; None without a grammar, or after ``budget_ms``."""
    grammar = by_id(language_id).grammar
    language = _load_grammar(grammar) if grammar else None
    if language is None:
        return None
    deadline_s = time.perf_counter() + budget_ms / 1000
    parser = tree_sitter.Parser(language)
    try:
        return parser.parse(
            lambda start, _point: source[start : start + _CHUNK_BYTES],
            progress_callback=lambda _offset, _has_error: time.perf_counter() > deadline_s,
        )
    except ValueError:  # tree-sitter raises it when the callback cancels the parse
        return None
