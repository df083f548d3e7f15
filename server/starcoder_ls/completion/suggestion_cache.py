"""Suggestions made before: typing into one is answered without the model.

Every prefix of an answer is an entry. Decides which old answers are about the cursor's place, and which is forgotten
first. Refuses to know documents and models.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.output import postprocess
from starcoder_ls.generation import FinishReason

MAX_ENTRIES = 64
"""Of one document: some 4 kB each. Whoever goes back further than that asks anew."""

_TAIL_CHARS = 24
_LEAST_TRUSTED_CHARS = 8

Key = tuple[Hashable, str]


@dataclass(eq=False, slots=True)
class CachedSuggestion:
    """One answer as the model made it. ``asked`` is everything but the place that it depends on (model, settings).

    ``origin`` is whatever its maker needs to go on with it.
    """

    asked: Hashable
    place: Anchor
    text: str
    finish_reason: FinishReason
    tokens: int = 0
    is_ahead: bool = False
    """Made before anybody asked."""
    origin: object = None
    is_used: bool = False

    @property
    def is_open(self) -> bool:
        """It was cut off: what it ends with is not to be trusted, and the model would have gone on."""
        return self.finish_reason in (FinishReason.LENGTH, FinishReason.DEADLINE, FinishReason.CANCELLED)

    @property
    def key(self) -> Key:
        return self.asked, self.place.before[-_TAIL_CHARS:]


@dataclass(frozen=True, slots=True)
class CacheHit:
    """An entry of whose text the first ``typed`` characters stand before the cursor."""

    entry: CachedSuggestion
    typed: int

    @property
    def left(self) -> str:
        return self.entry.text[self.typed :]

    @property
    def is_enough(self) -> bool:
        """What is left can be shown: it is whole, or so much is left that its end may be cut off."""
        if not self.entry.is_open:
            return bool(self.left.strip()) or not self.typed
        if self.entry.finish_reason is FinishReason.CANCELLED:
            return False
        return len(postprocess.whole_at_limit(self.left).strip()) >= _LEAST_TRUSTED_CHARS


class SuggestionCache:
    """The answers about one document, the latest used last."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._by_key: dict[Key, list[CachedSuggestion]] = {}
        self._in_order: OrderedDict[int, CachedSuggestion] = OrderedDict()
        self._longest = 0

    def __len__(self) -> int:
        return len(self._in_order)

    def add(self, entry: CachedSuggestion) -> None:
        """It takes the place of an earlier answer to the same question."""
        for older in list(self._by_key.get(entry.key, ())):
            if older.place == entry.place:
                self._forget(older)
        self._by_key.setdefault(entry.key, []).append(entry)
        self._in_order[id(entry)] = entry
        self._longest = max(self._longest, len(entry.text))
        while len(self._in_order) > self._max_entries:
            self._forget(next(iter(self._in_order.values())))

    def hits(self, asked: Hashable, here: CursorText) -> Iterator[CacheHit]:
        """What is known here, the nearest question first, then the latest used."""
        head = here.head
        for typed in range(min(self._longest, len(head)) + 1):
            end = len(head) - typed
            key = asked, head[max(0, end - _TAIL_CHARS) : end]
            for entry in reversed(self._by_key.get(key, ())):
                if typed <= len(entry.text) and entry.place.is_at(here, entry.text, typed):
                    yield CacheHit(entry, typed)

    def touch(self, entry: CachedSuggestion) -> None:
        """It was of use: it is forgotten last."""
        if id(entry) in self._in_order:
            self._in_order.move_to_end(id(entry))
            own = self._by_key[entry.key]
            own.remove(entry)
            own.append(entry)

    def clear(self) -> None:
        self._by_key.clear()
        self._in_order.clear()
        self._longest = 0

    def _forget(self, entry: CachedSuggestion) -> None:
        del self._in_order[id(entry)]
        own = self._by_key[entry.key]
        own.remove(entry)
        if not own:
            del self._by_key[entry.key]
