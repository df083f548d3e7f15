"""A text with its syntax tree, in characters: the trees count bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import tree_sitter

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars, incremental_parse
from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.incremental_parse import ParsedSource
from starcoder_ls.syntax.name_resolution import NameResolver
from starcoder_ls.syntax.scope_rules import rules_of

MAX_SOURCE_CHARS = 200_000
_MAX_CACHED, _MAX_CACHED_CHARS = 6, 400_000
PARSE_BUDGET_MS = 400.0
"""5,000 lines of Python take 21 ms (``syntax.grammars``). A thread parses, so that the event loop goes on."""


@dataclass(frozen=True)
class Source:
    """``text`` in a language. A text that is too long, or is not parsed within the time budget, has no tree."""

    text: str
    language: str

    @cached_property
    def encoded(self) -> bytes:
        return grammars.encode(self.text)

    @cached_property
    def tree(self) -> tree_sitter.Tree | None:
        if len(self.text) > MAX_SOURCE_CHARS:
            return None
        earlier = _cache.parsed_sources(self.language)
        return incremental_parse.parse(self.encoded, self.language, PARSE_BUDGET_MS, earlier)

    @property
    def is_parsed(self) -> bool:
        return "tree" in self.__dict__

    @cached_property
    def names(self) -> NameResolver | None:
        """None for a language whose scopes are not known."""
        rules = rules_of(by_id(self.language).grammar)
        return NameResolver(self.tree, self.encoded, rules) if rules and self.tree else None

    @cached_property
    def _is_ascii(self) -> bool:
        return len(self.encoded) == len(self.text)

    def byte_at(self, offset: int) -> int:
        """The byte of a character."""
        return offset if self._is_ascii else len(grammars.encode(self.text[:offset]))

    def offset_of(self, byte: int) -> int:
        """The character of a byte."""
        return byte if self._is_ascii else len(self.encoded[:byte].decode("utf-8", "replace"))

    def span_of(self, node: Node) -> tuple[int, int]:
        """Start and end of ``node`` in characters."""
        return self.offset_of(node.start_byte), self.offset_of(node.end_byte)

    def text_of(self, node: Node) -> str:
        return self.encoded[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def node_between(self, start: int, end: int) -> Node | None:
        """The smallest node that contains the characters from ``start`` to ``end``."""
        if self.tree is None:
            return None
        return self.tree.root_node.descendant_for_byte_range(self.byte_at(start), self.byte_at(end))


class _Cache:
    """The sources of the latest searches: the text before an edit is that of the search before it."""

    def __init__(self) -> None:
        self._sources: OrderedDict[tuple[str, str], Source] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, text: str, language: str) -> Source:
        with self._lock:
            source = self._sources.pop((text, language), None) or Source(text, language)
            self._sources[text, language] = source
            while len(self._sources) > _MAX_CACHED or sum(len(key[0]) for key in self._sources) > _MAX_CACHED_CHARS:
                self._sources.popitem(last=False)
            return source

    def parsed_sources(self, language: str) -> list[ParsedSource]:
        """The sources in ``language`` that have a tree."""
        with self._lock:
            parsed = [each for each in self._sources.values() if each.language == language and each.is_parsed]
        return [ParsedSource(each.encoded, each.tree) for each in parsed if each.tree is not None]

    def clear(self) -> None:
        with self._lock:
            self._sources.clear()


_cache = _Cache()


def source_of(text: str, language: str) -> Source:
    """``text`` with its tree, from an earlier call if possible."""
    return _cache.find(text, language)


def clear_cache() -> None:
    """Forget the texts of earlier calls."""
    _cache.clear()
