"""The daemon's event loop, which records the document that each of its callbacks works for.

A message sets the document for all tasks and timers that its processing starts, through a context variable. Each
callback then notes the document in the shared memory while it runs, so that a crash or an endless loop names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from starcoder_ls.daemon.activity import ActivityWriter

_entry: contextvars.ContextVar[bytes] = contextvars.ContextVar("entry", default=b"")


class AttributingLoop(asyncio.SelectorEventLoop):
    """``activity`` is set by the daemon; without it nothing is recorded."""

    activity: ActivityWriter | None = None

    def call_soon(  # type: ignore[override]  # typeshed's variadic signature, which Python 3.11 cannot spell
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        entry = _entry.get() if context is None else context.get(_entry, b"")
        if not entry or self.activity is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(self._run, self.activity, entry, callback, args, context=context)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        entry = _entry.get() if context is None else context.get(_entry, b"")
        if not entry or self.activity is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, self._run, self.activity, entry, callback, args, context=context)

    @staticmethod
    def _run(activity: ActivityWriter, entry: bytes, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        activity.begin(entry)
        try:
            callback(*args)
        finally:
            activity.end()


@contextlib.contextmanager
def processing(activity: ActivityWriter, entry: bytes) -> Iterator[None]:
    """Attribute the block, and the tasks and timers that it starts, to ``entry``."""
    token = _entry.set(entry)
    activity.begin(entry)
    try:
        yield
    finally:
        activity.end()
        _entry.reset(token)


def current_entry() -> bytes:
    """The entry of the message whose processing led here; empty if there is none."""
    return _entry.get()
