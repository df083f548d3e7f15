"""Counters and latencies of completion. They hold no text of any document."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque
from typing import Any

from starcoder_ls.completion.suggestion import Source
from starcoder_ls.generation import Timings

_MAX_LATENCIES = 1000  # enough for a p99, few enough to sort on request
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Metrics:
    """Counters since the start of the process. Written on the event loops of one thread."""

    def __init__(self) -> None:
        self.started_s = time.time()
        self.answers: Counter[Source] = Counter()
        self.empty_answers = 0
        self.generated_tokens = 0
        self.prefetched_tokens = 0
        self.served_tokens = 0
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self._last: tuple[Source, float, Timings] | None = None
        self._latencies: deque[tuple[Source, float]] = deque(maxlen=_MAX_LATENCIES)

    def record_answer(self, source: Source, elapsed_ms: float, timings: Timings, is_empty: bool) -> None:
        """A request was answered."""
        self.answers[source] += 1
        self.empty_answers += is_empty
        self.prompt_tokens += timings.prompt_tokens
        self.reused_tokens += timings.reused_tokens
        self._latencies.append((source, elapsed_ms))
        self._last = source, elapsed_ms, timings

    def record_generation(self, tokens: int, is_prefetched: bool) -> None:
        """A generation ended after ``tokens`` tokens."""
        self.generated_tokens += tokens
        self.prefetched_tokens += tokens if is_prefetched else 0

    def record_served_tokens(self, tokens: int) -> None:
        """``tokens`` generated tokens became part of an answer to a request."""
        self.served_tokens += tokens

    @property
    def last(self) -> dict[str, Any]:
        """Source and timings of the latest answer; empty before the first."""
        if self._last is None:
            return {}
        source, elapsed_ms, timings = self._last
        return describe_answer(source, timings) | {"elapsed_ms": round(elapsed_ms, 2)}

    def summary(self) -> dict[str, Any]:
        """The completion part of the result of ``starcoder/stats``."""
        latencies = list(self._latencies)  # a copy: another thread may append
        total = sum(self.answers.values())
        without_model = self.answers[Source.MEMORY] + self.answers[Source.PREFETCHED]
        by_model = [ms for source, ms in latencies if source in (Source.MODEL, Source.RESUMED)]
        return {
            "since": round(self.started_s),
            "answers": {source.value: self.answers[source] for source in Source},
            "empty": self.empty_answers,
            "without_model_percent": round(100 * without_model / total, 1) if total else 0.0,
            "ms": percentiles([ms for _, ms in latencies]),
            "model_ms": percentiles(by_model),
            "tokens": {
                "read": self.prompt_tokens - self.reused_tokens,
                "reused": self.reused_tokens,
                "made": self.generated_tokens,
                "made_ahead": self.prefetched_tokens,
                "wasted": max(self.generated_tokens - self.served_tokens, 0),
            },
            "last": self.last,
        }


def describe_answer(source: Source, timings: Timings) -> dict[str, Any]:
    """Where an answer came from and where its time went, as JSON."""
    rounded = {name: round(value, 2) for name, value in dataclasses.asdict(timings).items()}
    return {"source": source.value, **rounded}


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95 and p99 of ``values``; empty if there are none."""
    if not values:
        return {}
    ordered = sorted(values)
    picked = {name: ordered[min(int(len(ordered) * share), len(ordered) - 1)] for name, share in _PERCENTILES.items()}
    return {name: round(value, 2) for name, value in picked.items()}
