"""Reads the document again 10 s and 30 s after a suggestion was shown, hidden or accepted.

Decides what the user has written instead of the suggestion, and how much of the suggestion stands there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import partial

from starcoder_ls.context import secrets
from starcoder_ls.errors import DocumentError
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session.tracked_ranges import TrackedRange

CallLater = Callable[[float, Callable[[], None]], asyncio.TimerHandle]

DELAYS_S = (10, 30)
LAST_DELAY_S = DELAYS_S[-1]
_MAX_FOLLOWED = 128
_MAX_WRITTEN_CHARS = 8_000
_ANCHOR_CHARS = 60
_SEARCHED_CHARS = 4_000
_MIN_MATCH_CHARS = 3  # shorter matches are accidental
_MAX_COMPARED_CHARS = 1_000  # the comparison is quadratic


@dataclass(frozen=True, slots=True)
class FollowedSuggestion:
    """A suggestion and its position in the document: ``start`` when it was offered, ``tracked`` since then."""

    key: str
    uri: str
    text: str
    start: int
    anchor: str
    """The text before it, to find it again where ``tracked`` is lost."""
    tracked: TrackedRange

    @classmethod
    def at(
        cls, key: str, uri: str, text: str, start: int, document_text: str, tracked: TrackedRange
    ) -> FollowedSuggestion:
        """A suggestion that was offered at ``start`` of ``document_text``."""
        return cls(key, uri, text, start, document_text[max(0, start - _ANCHOR_CHARS) : start], tracked)


@dataclass(frozen=True, slots=True)
class Observation:
    """``suggestion`` and the text of its document after ``delay_s``."""

    suggestion: FollowedSuggestion
    delay_s: int
    document_text: str
    is_accepted: bool

    def match_percent(self) -> int:
        """How much of the suggestion stands where it was offered."""
        suggestion, text = self.suggestion, self.document_text
        tracked = suggestion.tracked
        if tracked.is_lost:
            return retained_percent(suggestion.text, suggestion.anchor, suggestion.start, text)
        end = min(tracked.end, tracked.start + _nearby_chars(suggestion.text))
        return match_percent(suggestion.text, text[tracked.start : end])

    def written(self) -> str | None:
        """What stands where the suggestion was offered, with secrets masked.

        None if an edit changed the text at its border, so that nothing can be said.
        """
        tracked = self.suggestion.tracked
        end = min(tracked.end, tracked.start + _MAX_WRITTEN_CHARS)
        return None if tracked.is_lost else secrets.mask_secrets_in_range(self.document_text, tracked.start, end)


@dataclass(slots=True)
class _Timers:
    suggestion: FollowedSuggestion
    handles: list[asyncio.TimerHandle] = field(default_factory=list)


class FollowUps:
    """Of one client. ``on_observation`` is called for each suggestion after each delay, while its document is open."""

    def __init__(
        self, documents: Documents, on_observation: Callable[[Observation], None], call_later: CallLater
    ) -> None:
        self._documents, self._on_observation, self._call_later = documents, on_observation, call_later
        self._timers: dict[str, _Timers] = {}

    def start(self, suggestion: FollowedSuggestion, is_accepted: bool = False) -> None:
        """The delays begin now, also if they have begun before. Of too many suggestions, the oldest are left out."""
        self._stop(suggestion.key)
        if len(self._timers) >= _MAX_FOLLOWED:
            self._stop(next(iter(self._timers)))
        timers = self._timers[suggestion.key] = _Timers(suggestion)
        for delay_s in DELAYS_S:
            observe = partial(self._observe, suggestion, delay_s, is_accepted)
            timers.handles.append(self._call_later(delay_s, observe))

    def discard(self, uri: str) -> None:
        """The document was closed."""
        for key in [key for key, timers in self._timers.items() if timers.suggestion.uri == uri]:
            self._stop(key)

    def close(self) -> None:
        for key in list(self._timers):
            self._stop(key)

    def _stop(self, key: str) -> None:
        if (timers := self._timers.pop(key, None)) is not None:
            for handle in timers.handles:
                handle.cancel()

    def _observe(self, suggestion: FollowedSuggestion, delay_s: int, is_accepted: bool) -> None:
        if delay_s == LAST_DELAY_S:
            del self._timers[suggestion.key]
        try:
            text = self._documents.for_model(suggestion.uri).text
        except DocumentError:  # out of sync or excluded since: unknown
            return
        self._on_observation(Observation(suggestion, delay_s, text, is_accepted))


def retained_percent(accepted: str, anchor: str, start: int, text: str) -> int:
    """How much of ``accepted`` is still in ``text`` near where it was inserted: after ``anchor``, else at ``start``."""
    found = text.find(anchor, max(0, start - _SEARCHED_CHARS)) if anchor.strip() else -1
    begin = found + len(anchor) if found >= 0 else start
    return match_percent(accepted, text[begin : begin + _nearby_chars(accepted)])


def match_percent(expected: str, text: str) -> int:
    """How much of ``expected`` is in ``text``, in the same order.

    Counts characters in matching runs; blanks at line ends and the kind of line ends are ignored.
    """
    expected, compared = _comparable(expected).strip(), _comparable(text)
    if expected in compared:
        return 100
    blocks = SequenceMatcher(None, expected, compared, autojunk=False).get_matching_blocks()
    matching = sum(block.size for block in blocks if block.size >= min(_MIN_MATCH_CHARS, len(expected)))
    return round(100 * matching / max(len(expected), 1))


def _comparable(text: str) -> str:
    return "\n".join(line.rstrip() for line in text[:_MAX_COMPARED_CHARS].splitlines())


def _nearby_chars(text: str) -> int:
    return 2 * len(text) + _ANCHOR_CHARS
