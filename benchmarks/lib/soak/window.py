"""A window of the soak run: a server process over stdio with a simulated user, started again whenever it ends."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from lib.soak.request_ledger import Entry, RequestLedger
from lib.soak.simulated_user import SimulatedUser
from starcoder_ls.lsp import client
from starcoder_ls.lsp.client import Client, ConnectionClosed, ResponseFailed

END_TIMEOUT_S = 60.0
REST_CHECK_S = 0.1
DRAIN_S = 120.0
CAPABILITIES: dict[str, Any] = {
    "general": {"positionEncodings": ["utf-16"]},
    "textDocument": {
        "inlineCompletion": {},
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}},
            "dataSupport": True,
            "resolveSupport": {"properties": ["edit"]},
        },
    },
    "window": {"workDoneProgress": True, "showDocument": {"support": True}},
    "workspace": {"applyEdit": True, "didChangeWatchedFiles": {"dynamicRegistration": True}},
    "experimental": {"starcoderStatus": True},
}
EXPECTED_EXIT_CODES = {"shutdown": 0, "exit without shutdown": 1, "end of input": 1}
"""By the way in which the run ended a window. A window that gets a signal ends with the signal's number."""


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """What all windows of a group share: command and environment of their process, folder, typed files, adapters."""

    command: Sequence[str]
    environment: Mapping[str, str]
    sources: Sequence[Path]
    adapters: Sequence[Path] = ()


class Window:
    """``process`` is the current process; None between two. While ``is_resting``, its user has closed all documents."""

    def __init__(
        self, name: str, options: WindowOptions, ledger: RequestLedger, rng: random.Random, pace_s: float
    ) -> None:
        self.name = name
        self._options, self._ledger, self._rng, self._pace_s = options, ledger, rng, pace_s
        self._client: Client | None = None
        self._ended_by = self._leaving_by = ""
        self._is_leaving = False
        self.is_resting = False
        self._entries: dict[asyncio.Future[Any], tuple[Entry, client.PendingRequest]] = {}
        self.process: psutil.Process | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve users with one process after the other until ``stop``."""
        while not stop.is_set():
            async with self._process() as connection:
                user = SimulatedUser(self, self._rng, self._pace_s, self._options.sources, self._options.adapters)
                while not self._leaving_by and not self._has_ended(connection):
                    await (self._rest(user, connection) if self.is_resting else user.step())
                    connection.notifications.clear()
                    if stop.is_set():
                        self.leave("shutdown")
                if not self._has_ended(connection):
                    await self._leave(connection)
                await self._wait_for_end(connection)

    async def _rest(self, user: SimulatedUser, connection: Client) -> None:
        user.close_all()
        while self.is_resting and not self._leaving_by and not self._has_ended(connection):  # noqa: ASYNC110
            await asyncio.sleep(REST_CHECK_S)

    # Used by SimulatedUser

    def request(self, method: str, params: Any = None) -> asyncio.Future[Any]:
        """A future that gets the result, or None for an error or if the window ends."""
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._client is None or self._is_leaving or self._has_ended(self._client):
            outcome.set_result(None)
            return outcome
        entry, pending = self._ledger.record_sent(self.name, method), self._client.request(method, params)
        self._entries[outcome] = (entry, pending)
        pending.future.add_done_callback(partial(self._record_outcome, outcome, entry))
        return outcome

    def cancel(self, future: asyncio.Future[Any]) -> None:
        if self._client is not None and (found := self._entries.get(future)) is not None:
            found[0].is_cancelled = True
            self._client.cancel(found[1])

    def notify(self, method: str, params: Any) -> None:
        if self._client is not None and not self._is_leaving:
            self._client.notify(method, params)

    # Used by the injector of faults

    def mark_ended(self, way: str) -> None:
        """The run is about to end the process: its open requests count as abandoned, its exit code as expected."""
        self._ended_by = way
        self._ledger.record_event(self.name, f"ended by {way}")

    def leave(self, way: str) -> None:
        """End the process soon as an editor does: ``way`` is one of EXPECTED_EXIT_CODES."""
        self._leaving_by = self._leaving_by or way

    async def _leave(self, connection: Client) -> None:
        self._is_leaving = True
        if self._leaving_by == "shutdown":
            if open_requests := list(self._entries):
                await asyncio.wait(open_requests, timeout=DRAIN_S)
            self._ledger.find_overdue()
        if self._ended_by:
            return  # a fault has ended it
        self.mark_ended(self._leaving_by)
        if self._leaving_by == "shutdown":
            await self._shut_down(connection)
        elif self._leaving_by == "exit without shutdown":
            connection.notify("exit")
        else:
            connection.close()

    async def _shut_down(self, connection: Client) -> None:
        try:
            await asyncio.wait_for(connection.request("shutdown").future, END_TIMEOUT_S)
        except TimeoutError:
            self._ledger.record_failure(self.name, f"did not answer shutdown within {END_TIMEOUT_S:.0f} s")
        except (ConnectionClosed, ResponseFailed):
            pass  # the exit code says whether that was right
        connection.notify("exit")

    def _has_ended(self, connection: Client) -> bool:
        return connection.process is None or connection.process.returncode is not None

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Client]:
        options = self._options
        async with client.start(options.command, env=options.environment, stderr=subprocess.DEVNULL) as connection:
            assert connection.process is not None
            self._client, self._is_leaving = connection, False
            self._ended_by = self._leaving_by = ""
            self.process = psutil.Process(connection.process.pid)
            connection.on_request = _answer
            folders = [{"uri": source.as_uri(), "name": source.name} for source in {f.parent for f in options.sources}]
            params = {"processId": None, "rootUri": None, "capabilities": CAPABILITIES, "workspaceFolders": folders}
            try:
                await self.request("initialize", params)
                self.notify("initialized", {})
                yield connection
            finally:
                self.process = self._client = None
                self._check_answers(connection)

    async def _wait_for_end(self, connection: Client) -> None:
        """Wait for the process, and record an exit code that is wrong for the way in which it was ended."""
        assert connection.process is not None
        if not self._ended_by:
            self._ledger.record_failure(self.name, f"ended by itself with exit code {connection.process.returncode}")
            return
        try:
            exit_code = await asyncio.wait_for(connection.process.wait(), END_TIMEOUT_S)
        except TimeoutError:
            self._ledger.record_failure(self.name, f"still runs {END_TIMEOUT_S:.0f} s after {self._ended_by}")
            return
        expected = EXPECTED_EXIT_CODES.get(self._ended_by, exit_code)
        if exit_code != expected:
            self._ledger.record_failure(self.name, f"exit code {exit_code} after {self._ended_by}, not {expected}")

    def _check_answers(self, connection: Client) -> None:
        for answer in connection.unmatched_responses:
            self._ledger.record_failure(self.name, f"got a second response with the id {answer.get('id')}")
        connection.unmatched_responses.clear()

    def _record_outcome(self, outcome: asyncio.Future[Any], entry: Entry, answered: asyncio.Future[Any]) -> None:
        self._entries.pop(outcome, None)
        error = answered.exception()
        if isinstance(error, ResponseFailed):
            self._ledger.record_answered(entry, str(error))
        elif error is None:
            self._ledger.record_answered(entry)
        elif self._ended_by:
            self._ledger.record_abandoned(entry)
        else:
            self._ledger.record_lost(entry, "the window's process closed the connection")
        if not outcome.done():
            outcome.set_result(None if error is not None else answered.result())


def _answer(method: str, _params: Any) -> Any:
    """The editor's answer to a request of the server."""
    if method == "workspace/applyEdit":
        return {"applied": False}
    return {"success": True} if method == "window/showDocument" else None
