"""A queue that any thread fills and one task of an event loop reads.

asyncio.Queue does more (several readers, bounds, waiting for all items), and takes three times as many calls for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LoopQueue(Generic[Item]):
    """Made on the event loop of its reader."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._waiting: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add ``item``, on the loop's thread."""
        self._items.append(item)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def put_from_thread(self, item: Item) -> None:
        """Add ``item``, from any thread. Dropped if the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.put, item)

    async def get(self) -> Item:
        """Remove and return the oldest item; waits until there is one."""
        while not self._items:
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._items.popleft()
