"""How far loading is, as one number and one sentence.

Decides how the stages share the way from 0 to 1. Refuses to know what they do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Report = Callable[[float, str], None]
"""Fraction 0..1 and a sentence; may raise to end the load."""


EVERY_S = 0.1  # a bar in an editor shows no more, and a closing engine stops loading within it


def share(report: Report, start: float, end: float) -> Report:
    """A report whose 0..1 lies between ``start`` and ``end`` of another's."""
    return lambda fraction, sentence: report(start + (end - start) * fraction, sentence)


class Counter:
    """Stands in for a tqdm bar: counts, reports, draws nothing."""

    def __init__(self, report: Report, sentence: str, items: Iterable[Any], total: int) -> None:
        self._report, self._sentence, self._items, self._total = report, sentence, items, max(total, 1)

    def __iter__(self) -> Iterator[Any]:
        reported_s = 0.0
        for position, item in enumerate(self._items):
            if time.monotonic() - reported_s >= EVERY_S:
                reported_s = time.monotonic()
                self._report(position / self._total, self._sentence)
            yield item

    def update(self, _items: int = 1) -> None:
        """Part of tqdm's interface."""

    def close(self) -> None:
        """Part of tqdm's interface."""

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


@contextmanager
def weights_reported(report: Report, sentence: str) -> Iterator[None]:
    """transformers' progress bar over the weights becomes calls of ``report``."""
    from transformers.utils import logging as transformers_logging

    def counted(_factory: Any, args: tuple[Any, ...], _options: dict[str, Any]) -> Counter:
        items = args[0] if args else ()
        return Counter(report, sentence, items, len(items) if hasattr(items, "__len__") else 0)

    previous = transformers_logging.set_tqdm_hook(counted)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous)


def download_bar(report: Report, sentence: str) -> type[Any]:
    """A class to hand to huggingface_hub as its tqdm: draws nothing, reports the bytes that have come.

    The hub adds each file to the total when it begins with it, and counts received and written bytes apart; the
    report never falls back.
    """
    from tqdm.std import tqdm  # type: ignore[import-untyped]

    furthest = reported_s = 0.0

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **(options | {"disable": True}))
            self.is_bytes = options.get("unit") == "B"

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal furthest, reported_s
            self.n += n or 0
            if self.is_bytes and self.total and time.monotonic() - reported_s >= EVERY_S:
                reported_s = time.monotonic()
                furthest = max(furthest, min(self.n / self.total, 1.0))
                report(furthest, f"{sentence} {self.n / 1e6:,.0f} of {self.total / 1e6:,.0f} MB.")
            return None

    return Bar
