"""Text to syntax tree, by the grammar wheels of tree-sitter; each is imported when its language is first met.

Decides how long a parse may take. Refuses to know what trees are asked.
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

_log = logging.getLogger(__name__)


@functools.cache
def _language(grammar: str) -> tree_sitter.Language | None:
    module, _, function = grammar.partition(":")
    try:
        return tree_sitter.Language(getattr(importlib.import_module(module), function or "language")())
    except (ImportError, AttributeError, ValueError) as error:  # ValueError: a grammar of another ABI
        _log.warning("No syntax for %s, plain rules instead: %s", module, error)
        return None


def parsed(source: bytes, language_id: str, budget_ms: float = BUDGET_MS) -> tree_sitter.Tree | None:
    """The tree of UTF-8 ``source``; None without a grammar, or where parsing takes longer than ``budget_ms``."""
    grammar = by_id(language_id).grammar
    language = _language(grammar) if grammar else None
    if language is None:
        return None
    until_s = time.perf_counter() + budget_ms / 1000
    parser = tree_sitter.Parser(language)
    try:
        return parser.parse(
            lambda start, _point: source[start : start + _PIECE_BYTES],
            progress_callback=lambda _offset, _has_error: time.perf_counter() > until_s,
        )
    except ValueError:  # its way to say that the callback has ended it
        return None


_PIECE_BYTES = 1 << 16
