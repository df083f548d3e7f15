"""Accounts for every request of a soak run: answered, failed, abandoned by its window, or unanswered.

It keeps the requests that are open and those that stayed unanswered; of all others it keeps counts and latencies.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OVERDUE_S = 120.0
"""A request that waits longer is reported as late. It counts as unanswered only if the answer never comes, also if the
run ends its window meanwhile: an explanation may wait that long while completions keep a busy machine's cores."""

SURROUNDINGS_S = 30.0
"""The events of so many seconds before a request was sent, and after, are reported with an unanswered request."""

MAX_ERROR_TEXTS = 200


@dataclass(eq=False, slots=True)
class Entry:
    """One request. Times are seconds since the run began."""

    number: int
    window: str
    method: str
    sent_s: float
    is_cancelled: bool = False
    is_overdue: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the run did to a process, or that happened to one."""

    time_s: float
    subject: str
    text: str


class RequestLedger:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._started_s = clock, clock()
        self._numbers = itertools.count(1)
        self._open: dict[int, Entry] = {}
        self._unanswered: list[tuple[Entry, str]] = []
        self._late: list[tuple[Entry, str]] = []
        self.outcomes: Counter[str] = Counter()
        self.sent_by_method: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.latencies_ms: dict[int, list[float]] = defaultdict(list)
        """Of inline completions, by the minute in which they were answered."""
        self.events: list[Event] = []
        self.failures: list[str] = []
        """What must not happen besides an unanswered request."""

    def now_s(self) -> float:
        return self._clock() - self._started_s

    def record_event(self, subject: str, text: str) -> None:
        self.events.append(Event(self.now_s(), subject, text))

    def record_failure(self, subject: str, text: str) -> None:
        self.record_event(subject, text)
        self.failures.append(f"{self.now_s():.1f} s: {subject} {text}")

    def record_sent(self, window: str, method: str) -> Entry:
        entry = Entry(next(self._numbers), window, method, self.now_s())
        self._open[entry.number] = entry
        self.sent_by_method[method] += 1
        return entry

    def record_answered(self, entry: Entry, error: str = "") -> None:
        """``error`` is code and message of an error response; empty for a result."""
        if entry.is_overdue:
            self._late.append((entry, f"answered after {self.now_s() - entry.sent_s:.0f} s"))
        self._close(entry, "error" if error else "result")
        if error:
            text = f"{entry.method} {error}"
            self.errors[text if text in self.errors or len(self.errors) < MAX_ERROR_TEXTS else "others"] += 1
        elif entry.method == "textDocument/inlineCompletion":
            now_s = self.now_s()
            self.latencies_ms[int(now_s // 60)].append((now_s - entry.sent_s) * 1000)

    def record_abandoned(self, entry: Entry) -> None:
        """The run itself ended the window that waited for the answer."""
        if entry.is_overdue:
            self.record_lost(entry, f"no answer for {OVERDUE_S:.0f} s, until the run ended the window")
        else:
            self._close(entry, "abandoned with its window")

    def record_lost(self, entry: Entry, reason: str) -> None:
        """No answer can come any more, and the run is not the cause."""
        self._close(entry, "unanswered")
        self._unanswered.append((entry, reason))

    def find_overdue(self) -> None:
        """Mark the requests that wait for longer than ``OVERDUE_S``. They stay open."""
        for entry in self._open.values():
            entry.is_overdue = entry.is_overdue or self.now_s() - entry.sent_s > OVERDUE_S

    @property
    def open_count(self) -> int:
        return len(self._open)

    @property
    def unanswered_count(self) -> int:
        return len(self._unanswered)

    def close(self) -> None:
        """The run is over: what is still open stays unanswered."""
        for entry in list(self._open.values()):
            self.record_lost(entry, "no answer until the end of the run")

    def unanswered(self) -> list[dict[str, Any]]:
        """Each unanswered request with the events around the time at which it was sent."""
        return [self._describe(entry, reason) for entry, reason in self._unanswered]

    def late(self) -> list[dict[str, Any]]:
        """Each request that was answered after more than ``OVERDUE_S``, likewise."""
        return [self._describe(entry, reason) for entry, reason in self._late]

    def _describe(self, entry: Entry, reason: str) -> dict[str, Any]:
        return {
            "method": entry.method,
            "window": entry.window,
            "sent_s": round(entry.sent_s, 3),
            "reason": reason,
            "cancelled": entry.is_cancelled,
            "around": [
                f"{event.time_s:.1f} s: {event.subject} {event.text}"
                for event in self.events
                if abs(event.time_s - entry.sent_s) <= SURROUNDINGS_S
            ],
        }

    def _close(self, entry: Entry, outcome: str) -> None:
        if self._open.pop(entry.number, None) is None:
            raise ValueError(f"{entry.method} {entry.number} was closed before.")
        self.outcomes[outcome] += 1
