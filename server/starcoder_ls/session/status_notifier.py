"""Reports the engine's status to one client: status notifications, progress while loading, one message per failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lsprotocol import types as t

from starcoder_ls.generation import Phase, Status
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.process_info import ProcessInfo

logger = logging.getLogger(__name__)

METHOD = "starcoder/status"
_INTERVAL_S = 0.1  # between two notifications; the phase changes to "working" and back with every key stroke
_CREATE_TIMEOUT_S = 5.0
_TOKEN = "starcoder-ls/loading"


def status_params(status: Status, process_info: ProcessInfo) -> dict[str, Any]:
    """The params of the notification ``starcoder/status``; also part of the result of the request."""
    params: dict[str, Any] = {
        "phase": status.phase.value,
        "message": status.message,
        "model": status.model,
        "device": status.device,
        "progress": round(status.progress, 2),
        "memoryBytes": status.memory_bytes,
        "sharing": process_info.to_json(),
        "adapters": [
            {
                "name": adapter.name,
                "method": adapter.method,
                "source": adapter.source,
                "memoryBytes": adapter.memory_bytes,
            }
            for adapter in status.adapters
        ],
    }
    if process_info.invalid_settings_file:
        params["settingsFile"] = process_info.invalid_settings_file
    return params


class StatusNotifier:
    """Used on the session's event loop; engines report changes from their own threads."""

    def __init__(self, client: LanguageClient, supervisor: EngineSupervisor, process_info: ProcessInfo) -> None:
        self._client, self._supervisor, self._process_info = client, supervisor, process_info
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._timer: asyncio.TimerHandle | None = None
        self._sent: dict[str, Any] | None = None
        self._has_shown_failure = False
        self._shown_settings_error = ""
        self._progress: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Send the current status, and then every change. A second call does nothing."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = self._supervisor.subscribe(self._on_status)
        if self._client.info.has_progress and self._supervisor.status().phase is Phase.LOADING:
            self._progress = self._loop.create_task(self._show_loading())
        self._update()

    def stop(self) -> None:
        self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        if self._progress is not None:
            self._progress.cancel()

    def _on_status(self, _: Status) -> None:
        """From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._update)

    def _update(self) -> None:
        """Read the status. Failures and the end of loading are sent at once, other changes at most every 0.1 s."""
        status = self._supervisor.status()
        self._changed.set()
        if status.phase is Phase.FAILED:
            self._show_failure(status.message)
        elif status.phase is Phase.READY:
            self._has_shown_failure = False  # the next failure is shown again
        before = self._sent["phase"] if self._sent else None
        is_loading_change = before != status.phase and Phase.LOADING in (before, status.phase)
        if is_loading_change or before is None or status.phase is Phase.FAILED:
            self._send()
        elif self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(_INTERVAL_S, self._send)

    def _show_failure(self, message: str) -> None:
        """Show each error of the settings file, which a client that shows the status does itself, and the first other
        failure since the model was ready."""
        if self._process_info.invalid_settings_file:
            if message != self._shown_settings_error and not self._client.info.has_status:
                self._client.show_message(t.MessageType.Error, message)
            self._shown_settings_error = message
        elif not self._has_shown_failure:
            self._has_shown_failure = True
            self._client.show_message(t.MessageType.Error, message)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        params = status_params(self._supervisor.status(), self._process_info)
        if params != self._sent:
            self._sent = params
            if self._client.info.has_status:
                self._client.protocol.notify(METHOD, params)

    async def _show_loading(self) -> None:
        """Show work-done progress; in its own task because no request may wait for the client (pygls #621)."""
        progress = self._client.work_done_progress
        try:
            await asyncio.wait_for(progress.create_async(_TOKEN), _CREATE_TIMEOUT_S)
        except (TimeoutError, ResponseError):
            logger.info("the client shows no progress")
            return
        status = self._supervisor.status()
        shown = status
        progress.begin(_TOKEN, t.WorkDoneProgressBegin(title=f"Loading {status.model}", percentage=_percent(status)))
        while status.phase is Phase.LOADING:
            self._changed.clear()
            await self._changed.wait()
            await asyncio.sleep(_INTERVAL_S / 2)
            status = self._supervisor.status()
            if replace(status, memory_bytes=0) != shown and status.phase is Phase.LOADING:
                shown = replace(status, memory_bytes=0)
                report = t.WorkDoneProgressReport(message=status.message, percentage=_percent(status))
                progress.report(_TOKEN, report)
        outcome = "failed" if status.phase is Phase.FAILED else "ready"
        progress.end(_TOKEN, t.WorkDoneProgressEnd(message=outcome))


def _percent(status: Status) -> int:
    return round(100 * min(1.0, max(0.0, status.progress)))
