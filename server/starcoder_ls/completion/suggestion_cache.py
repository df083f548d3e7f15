"""The answers generated for one document: typing into one of them needs no model.

An answer matches at each of its prefixes. Decides which answers match a cursor and which are evicted first (least
recently used), of one document and of all documents of a client.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.output import postprocess
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.generation import FinishReason

MAX_ENTRIES = 64
"""Per document. A user who goes back further causes a new generation."""

MAX_BYTES = 16 * 1024 * 1024
"""Of all documents of a client. An answer with its prompt takes about 20 kB, and up to 100 kB with text of other files
for look-ups."""

_KEY_CHARS = 24
_MIN_TRUSTED_CHARS = 8


@dataclass(eq=False, slots=True)
class CachedSuggestion:
    """One answer as the model generated it, valid at ``anchor``.

    ``generation_key`` is everything else that the answer depends on (model, adapter, settings). ``prompt`` is whatever
    the caller needs to resume the generation.
    """

    generation_key: Hashable
    anchor: Anchor
    text: str
    finish_reason: FinishReason
    tokens: int = 0
    is_prefetched: bool = False
    """It was generated before it was requested."""
    prompt: object = None
    prompt_bytes: int = 0
    is_served: bool = False
    """It was part of an answer to a request."""
    logprob: float = 0.0
    """The sum over its tokens."""
    generated_tokens: int = 0
    """What it cost: with the tokens of other candidates, without those that another generation made."""

    @property
    def answer(self) -> GeneratedAnswer:
        return GeneratedAnswer(self.text, self.tokens, self.finish_reason, self.logprob)

    @property
    def is_truncated(self) -> bool:
        """The generation was cut off: the end of the text is unreliable, and the model would have continued."""
        return self.finish_reason in (FinishReason.LENGTH, FinishReason.DEADLINE, FinishReason.CANCELLED)

    @property
    def memory_bytes(self) -> int:
        """At least what its texts take; answers that share a prompt or its parts are counted as if they did not."""
        return self.prompt_bytes + sum(map(sys.getsizeof, (self.text, self.anchor.before, self.anchor.after)))

    @property
    def index_key(self) -> str:
        """Without ``generation_key``, whose hash at each place where the answer may begin took 0.1 ms a key."""
        return self.anchor.before[-_KEY_CHARS:]


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A cached answer of which the first ``typed_chars`` characters stand before the cursor."""

    entry: CachedSuggestion
    typed_chars: int

    @property
    def typed(self) -> str:
        return self.entry.text[: self.typed_chars]

    @property
    def remaining(self) -> str:
        return self.entry.text[self.typed_chars :]

    @property
    def is_sufficient(self) -> bool:
        """The remaining text can be shown: it is complete, or long enough without its unreliable end."""
        if not self.entry.is_truncated:
            return bool(self.remaining.strip()) or not self.typed_chars
        if self.entry.finish_reason is FinishReason.CANCELLED:
            return False
        return len(postprocess.drop_unfinished_end(self.remaining).strip()) >= _MIN_TRUSTED_CHARS


class CacheBudget:
    """The memory of the answers for all documents of one client.

    When it exceeds ``max_bytes``, the least recently used answers are evicted, whichever document they are for.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self.used_bytes = 0
        self._by_use: OrderedDict[int, tuple[SuggestionCache, CachedSuggestion, int]] = OrderedDict()

    def add(self, cache: SuggestionCache, entry: CachedSuggestion) -> None:
        """``entry`` was added to ``cache``. Evicts others, and ``entry`` itself if it alone is too large."""
        size_bytes = entry.memory_bytes
        self._by_use[id(entry)] = cache, entry, size_bytes
        self.used_bytes += size_bytes
        while self.used_bytes > self._max_bytes:
            oldest_cache, oldest, _ = next(iter(self._by_use.values()))
            oldest_cache.evict(oldest)

    def touch(self, entry: CachedSuggestion) -> None:
        self._by_use.move_to_end(id(entry))

    def remove(self, entry: CachedSuggestion) -> None:
        """``entry`` is no longer cached."""
        self.used_bytes -= self._by_use.pop(id(entry))[2]


class SuggestionCache:
    """The answers for one document, the most recently used last. Documents of one client share ``budget``."""

    def __init__(self, budget: CacheBudget | None = None, max_entries: int = MAX_ENTRIES) -> None:
        self._budget = budget or CacheBudget()
        self._max_entries = max_entries
        self._by_key: dict[str, list[CachedSuggestion]] = {}
        self._by_use: OrderedDict[int, CachedSuggestion] = OrderedDict()
        self._max_chars = 0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._by_use)

    def add(self, entry: CachedSuggestion) -> None:
        """Add ``entry``; it replaces an earlier answer with the same key and anchor. Does nothing after ``close``."""
        if self._is_closed:
            return
        for older in list(self._by_key.get(entry.index_key, ())):
            if older.anchor == entry.anchor and older.generation_key == entry.generation_key:
                self.evict(older)
        self._by_key.setdefault(entry.index_key, []).append(entry)
        self._by_use[id(entry)] = entry
        self._max_chars = max(self._max_chars, len(entry.text))
        while len(self._by_use) > self._max_entries:
            self.evict(next(iter(self._by_use.values())))
        self._budget.add(self, entry)

    def find_hits(self, generation_key: Hashable, cursor_text: CursorText) -> Iterator[CacheHit]:
        """The answers that match at the cursor: the fewest typed characters first, then the most recently used."""
        before, entries_of = cursor_text.before, self._by_key.get
        length = len(before)
        for typed_chars in range(min(self._max_chars, length) + 1):
            end = length - typed_chars
            start = end - _KEY_CHARS
            if (entries := entries_of(before[start:end] if start > 0 else before[:end])) is None:
                continue
            for entry in reversed(entries):
                if typed_chars > len(entry.text) or entry.generation_key != generation_key:
                    continue
                if entry.anchor.matches(cursor_text, entry.text, typed_chars):
                    yield CacheHit(entry, typed_chars)

    def touch(self, entry: CachedSuggestion) -> None:
        """Mark ``entry`` as the most recently used; does nothing if it was evicted."""
        if id(entry) in self._by_use:
            self._by_use.move_to_end(id(entry))
            self._budget.touch(entry)
            same_key = self._by_key[entry.index_key]
            same_key.remove(entry)
            same_key.append(entry)

    def clear(self) -> None:
        for entry in self._by_use.values():
            self._budget.remove(entry)
        self._by_key.clear()
        self._by_use.clear()
        self._max_chars = 0

    def close(self) -> None:
        """Forget the answers, and those of generations that are still being cancelled."""
        self._is_closed = True
        self.clear()

    def evict(self, entry: CachedSuggestion) -> None:
        """Forget ``entry``, which is in this cache."""
        del self._by_use[id(entry)]
        self._budget.remove(entry)
        same_key = self._by_key[entry.index_key]
        same_key.remove(entry)
        if not same_key:
            del self._by_key[entry.index_key]
