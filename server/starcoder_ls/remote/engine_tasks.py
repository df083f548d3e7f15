"""The tasks that an engine runs on the event loop of its own thread, apart from those that libraries start there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any


class EngineTasks:
    """Tasks on ``loop``. Those of the HTTP client end with the one that waits for them, and are not cancelled here: one
    that was cancelled while it opens a connection would leave the socket open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[Any]] = set()

    def submit(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> Future[None]:
        """Run ``work(*arguments)`` as a task; from any thread. Cancelling the future cancels the task."""
        return asyncio.run_coroutine_threadsafe(self._run(work, *arguments), self._loop)

    async def cancel_all(self) -> None:
        """Cancel the tasks that were submitted before, and wait for their end."""
        await asyncio.sleep(0)  # one that was submitted last starts
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await work(*arguments)
        finally:
            self._tasks.discard(task)
