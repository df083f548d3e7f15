"""What answering has cost and saved, in numbers: no text of any document is in it.

Decides what is counted. Refuses to know who asked.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from typing import Any

from starcoder_ls.completion.suggest import Source
from starcoder_ls.generation import Timings

_LATENCIES = 1000  # enough for a p99, few enough to sort when asked


class Metrics:
    """Counts since the start of the process. Used on event loops of one thread."""

    def __init__(self) -> None:
        self.since_s = time.time()
        self.answers: Counter[Source] = Counter()
        self.empty = 0
        self.made_tokens = 0
        self.used_tokens = 0
        self.ahead_tokens = 0
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self._last: tuple[Source, float, Timings] | None = None
        self._latencies: deque[tuple[Source, float]] = deque(maxlen=_LATENCIES)

    def answered(self, source: Source, elapsed_ms: float, timings: Timings, is_empty: bool) -> None:
        self.answers[source] += 1
        self.empty += is_empty
        self.prompt_tokens += timings.prompt_tokens
        self.reused_tokens += timings.reused_tokens
        self._latencies.append((source, elapsed_ms))
        self._last = source, elapsed_ms, timings

    @property
    def last(self) -> dict[str, Any]:
        """Of the latest answer; empty before the first."""
        if self._last is None:
            return {}
        source, elapsed_ms, timings = self._last
        return described(source, timings) | {"elapsed_ms": round(elapsed_ms, 2)}

    def made(self, tokens: int, is_ahead: bool) -> None:
        """A generation ended after so many tokens."""
        self.made_tokens += tokens
        self.ahead_tokens += tokens if is_ahead else 0

    def used(self, tokens: int) -> None:
        """So many of them were part of an answer to a request."""
        self.used_tokens += tokens

    def summary(self) -> dict[str, Any]:
        """As ``starcoder/stats`` answers it."""
        latencies = list(self._latencies)  # a copy: another thread may be writing it down
        asked = sum(self.answers.values())
        without = self.answers[Source.MEMORY] + self.answers[Source.AHEAD]
        by_model = [ms for source, ms in latencies if source in (Source.MODEL, Source.RESUMED)]
        return {
            "since": round(self.since_s),
            "answers": {source.value: self.answers[source] for source in Source},
            "empty": self.empty,
            "without_model_percent": round(100 * without / asked, 1) if asked else 0.0,
            "ms": percentiles([ms for _, ms in latencies]),
            "model_ms": percentiles(by_model),
            "tokens": {
                "read": self.prompt_tokens - self.reused_tokens,
                "reused": self.reused_tokens,
                "made": self.made_tokens,
                "made_ahead": self.ahead_tokens,
                "wasted": max(self.made_tokens - self.used_tokens, 0),
            },
            "last": self.last,
        }


def described(source: Source, timings: Timings) -> dict[str, Any]:
    """Where one answer came from and where its time went."""
    measured = {name: round(value, 2) for name, value in dataclasses.asdict(timings).items()}
    return {"source": source.value, **measured}


def percentiles(values: list[float]) -> dict[str, float]:
    """Empty where nothing was measured."""
    if not values:
        return {}
    ordered = sorted(values)
    at = {name: ordered[min(int(len(ordered) * share), len(ordered) - 1)] for name, share in _SHARES.items()}
    return {name: round(value, 2) for name, value in at.items()}


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
