"""What a client is told of the engine without asking: status notifications, progress while loading, one failure.

Decides when a change is worth a message. Refuses to know why the engine changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

from starcoder_ls.generation import Phase, Status
from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.session.process_info import ProcessInfo

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

logger = logging.getLogger(__name__)

METHOD = "starcoder/status"
_INTERVAL_S = 0.1  # between two messages; "working" comes and goes with every keystroke
_CREATE_TIMEOUT_S = 5.0
_TOKEN = "starcoder-ls/loading"


def described(status: Status, sharing: ProcessInfo) -> dict[str, Any]:
    """The params of ``starcoder/status``, and its result when asked."""
    return {
        "phase": status.phase.value,
        "message": status.message,
        "model": status.model,
        "device": status.device,
        "progress": round(status.progress, 2),
        "memoryBytes": status.memory_bytes,
        "sharing": sharing.described(),
        "adapters": [
            {"name": held.name, "method": held.method, "source": held.source, "memoryBytes": held.memory_bytes}
            for held in status.adapters
        ],
    }


class StatusNotifier:
    """Follows the engine for one client. Lives on the loop; engines call in from their own threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._timer: asyncio.TimerHandle | None = None
        self._said: dict[str, Any] | None = None
        self._has_failed = False
        self._progress: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Say what is true now and follow from here. A second call does nothing."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = self._session.supervisor.subscribe(self._from_any_thread)
        if self._session.client.has_progress and self._session.supervisor.status().phase is Phase.LOADING:
            self._progress = self._loop.create_task(self._show_loading())
        self._follow()

    def stop(self) -> None:
        self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        if self._progress is not None:
            self._progress.cancel()

    def _from_any_thread(self, _: Status) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._follow)

    def _follow(self) -> None:
        """Look at the engine now. Failure and the end of loading are said at once, the rest at most every 0.1 s."""
        status = self._session.supervisor.status()
        self._changed.set()
        if status.phase is Phase.FAILED and not self._has_failed:
            self._has_failed = True
            self._session.show(t.MessageType.Error, status.message)
        elif status.phase is Phase.READY:
            self._has_failed = False  # failing again is news again
        before = self._said["phase"] if self._said else None
        is_turn = before != status.phase and Phase.LOADING in (before, status.phase)
        if is_turn or before is None or status.phase is Phase.FAILED:
            self._say()
        elif self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(_INTERVAL_S, self._say)

    def _say(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = described(self._session.supervisor.status(), self._session.sharing)
        if now != self._said:
            self._said = now
            if self._session.client.wants_status:
                self._session.protocol.notify(METHOD, now)

    async def _show_loading(self) -> None:
        """Work-done progress; a task of its own because no request may wait for the client (pygls #621)."""
        progress = self._session.work_done_progress
        try:
            await asyncio.wait_for(progress.create_async(_TOKEN), _CREATE_TIMEOUT_S)
        except (TimeoutError, JsonRpcException, ResponseError):
            logger.info("the client shows no progress")
            return
        status = self._session.supervisor.status()
        shown = status
        progress.begin(_TOKEN, t.WorkDoneProgressBegin(title=f"Loading {status.model}", percentage=_percent(status)))
        while status.phase is Phase.LOADING:
            self._changed.clear()
            await self._changed.wait()
            await asyncio.sleep(_INTERVAL_S / 2)
            status = self._session.supervisor.status()
            if replace(status, memory_bytes=0) != shown and status.phase is Phase.LOADING:
                shown = replace(status, memory_bytes=0)
                report = t.WorkDoneProgressReport(message=status.message, percentage=_percent(status))
                progress.report(_TOKEN, report)
        ended = "failed" if status.phase is Phase.FAILED else "ready"
        progress.end(_TOKEN, t.WorkDoneProgressEnd(message=ended))


def _percent(status: Status) -> int:
    return round(100 * min(1.0, max(0.0, status.progress)))
