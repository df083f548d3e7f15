"""Progress of loading, as a fraction and a message.

Stages share the range from 0 to 1 through ``scale_progress``; the progress bars of transformers and of the Hub library
are turned into calls of the callback.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

ProgressCallback = Callable[[float, str], None]
"""Receives the fraction from 0 to 1 and a message for the user. It may raise to abort the operation."""

MIN_INTERVAL_S = 0.1
"""Between two calls. Editors show no more, and an engine that is closed stops loading within it."""


def ignore_progress(fraction: float, message: str) -> None:
    """A ``ProgressCallback`` that does nothing."""


def scale_progress(on_progress: ProgressCallback, start: float, end: float) -> ProgressCallback:
    """A callback whose range 0 to 1 is the range ``start`` to ``end`` of ``on_progress``."""
    return lambda fraction, message: on_progress(start + (end - start) * fraction, message)


class ProgressIterator:
    """Has the interface of a tqdm bar; instead of drawing a bar it calls ``on_progress``."""

    def __init__(self, on_progress: ProgressCallback, message: str, items: Iterable[Any], total: int) -> None:
        self._on_progress, self._message, self._items, self._total = on_progress, message, items, max(total, 1)

    def __iter__(self) -> Iterator[Any]:
        reported_s = 0.0
        for position, item in enumerate(self._items):
            if time.monotonic() - reported_s >= MIN_INTERVAL_S:
                reported_s = time.monotonic()
                self._on_progress(position / self._total, self._message)
            yield item

    def update(self, _items: int = 1) -> None:
        """Part of tqdm's interface; does nothing."""

    def close(self) -> None:
        """Part of tqdm's interface; does nothing."""

    def __enter__(self) -> ProgressIterator:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


@contextmanager
def report_weight_loading(on_progress: ProgressCallback, message: str) -> Iterator[None]:
    """While the context is open, transformers' progress bar over the weights calls ``on_progress``."""
    from transformers.utils import logging as transformers_logging

    def create_iterator(_factory: Any, args: tuple[Any, ...], _options: dict[str, Any]) -> ProgressIterator:
        items = args[0] if args else ()
        return ProgressIterator(on_progress, message, items, len(items) if hasattr(items, "__len__") else 0)

    previous = transformers_logging.set_tqdm_hook(create_iterator)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous)


def create_byte_bar(on_bytes: Callable[[int], None]) -> type[Any]:
    """A tqdm class for huggingface_hub that draws nothing and passes on the number of bytes that arrived.

    It collects them for MIN_INTERVAL_S, and is negative when the library begins a file again.
    """
    from tqdm.std import tqdm  # type: ignore[import-untyped]

    reported_s = 0.0

    class ByteBar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **(options | {"disable": True}))
            self.unreported = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.unreported += int(n or 0)
            if time.monotonic() - reported_s >= MIN_INTERVAL_S:
                self._report()
            return None

        def close(self) -> None:
            if self.unreported:
                self._report()

        def _report(self) -> None:
            nonlocal reported_s
            reported_s = time.monotonic()
            size, self.unreported = self.unreported, 0
            on_bytes(size)

    return ByteBar
