"""The time limit of llama.cpp's ``/infill``: it runs from the first token on, and ends no answer in its first line."""

from __future__ import annotations

import time
from collections.abc import Callable

from starcoder_ls.generation import StopRule


def with_time_limit(stop: StopRule | None, limit_s: float, clock: Callable[[], float] = time.monotonic) -> StopRule:
    """``stop``, and the end of the text when ``limit_s`` have passed since the first token and it has a line feed.

    The rule is for one request. A text that it ended stays ended: its answer changes from None to a number only.
    """
    started_s: float | None = None

    def stop_in_time(text: str) -> int | None:
        nonlocal started_s
        now_s = clock()
        if started_s is None:
            started_s = now_s
        kept = None if stop is None else stop(text)
        if kept is None and "\n" in text and now_s - started_s > limit_s:
            return len(text)
        return kept

    return stop_in_time
