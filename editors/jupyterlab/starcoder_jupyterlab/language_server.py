"""One ``starcoder-ls serve`` process, and JSON-RPC over its standard input and output.

It works with plain JSON values, so that the extension needs no library besides those of the Jupyter server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

STOP_TIMEOUT_S = 3.0
MAX_LINE_CHARS = 200

_METHOD_NOT_FOUND = -32601
_READ_BYTES = 65536
_LOG_LINE = re.compile(r"\b(DEBUG|INFO|WARNING)\b")
"""A line of the log that does not say why the process has ended."""


class ResponseFailed(Exception):
    """The language server answered a request with an error."""


class ServerEnded(Exception):
    """The language server ended before it answered."""


class LanguageServer:
    """A running process, made by ``start``.

    ``on_notification`` is called with the method and the params of each notification, and ``on_end`` with the reason
    once the process has ended, unless ``stop`` was called before.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        on_notification: Callable[[str, Any], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._process = process
        self._on_notification, self._on_end = on_notification, on_end
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._is_closed = self._is_stopping = False
        self._last_line = ""
        loop = asyncio.get_running_loop()
        self._log_reader = loop.create_task(self._read_log())
        self._reader = loop.create_task(self._read_messages())

    @classmethod
    async def start(
        cls, command: Sequence[str], on_notification: Callable[[str, Any], None], on_end: Callable[[str], None]
    ) -> LanguageServer:
        """Start ``command``. Raises OSError if the system cannot."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        return cls(process, on_notification, on_end)

    async def request(self, method: str, params: Any) -> Any:
        """The result of a request; cancelling the task cancels the request too. Raises ResponseFailed, ServerEnded."""
        if self._is_closed:
            raise ServerEnded
        number = next(self._ids)
        future = self._pending[number] = asyncio.get_running_loop().create_future()
        self._send({"id": number, "method": method, "params": params})
        try:
            return await future
        except asyncio.CancelledError:
            self.notify("$/cancelRequest", {"id": number})
            raise
        finally:
            self._pending.pop(number, None)

    def notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    async def stop(self) -> None:
        """End the process: by ``shutdown`` and ``exit``, after three seconds by killing it."""
        self._is_stopping = True
        with contextlib.suppress(TimeoutError, ResponseFailed, ServerEnded):
            await asyncio.wait_for(self.request("shutdown", None), STOP_TIMEOUT_S)
            self.notify("exit", None)
        await self._wait()
        await asyncio.gather(self._reader, self._log_reader)

    async def _wait(self) -> None:
        """Close the input of the process, and wait until it has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        stdin = self._process.stdin
        if not self._is_closed and stdin is not None and not stdin.is_closing():
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def _read_messages(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while (body := await read_body(stdout)) is not None:
                self._receive(json.loads(body))
        except (OSError, EOFError, ValueError):
            self._last_line = self._last_line or "its output is no LSP"
        self._is_closed = True
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ServerEnded())
        if not self._is_stopping:
            await self._wait()
            await self._log_reader
            self._on_end(self._reason())

    def _receive(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            future = self._pending.get(message.get("id") or 0)
            if future is None or future.done():
                return  # the request was cancelled
            if (error := message.get("error")) is not None:
                future.set_exception(ResponseFailed(str(error.get("message", ""))))
            else:
                future.set_result(message.get("result"))
        elif "id" in message:
            error = {"code": _METHOD_NOT_FOUND, "message": "JupyterLab has no such method."}
            self._send({"id": message["id"], "error": error})
        else:
            self._on_notification(message["method"], message.get("params"))

    async def _read_log(self) -> None:
        """Read standard error, so that the process never waits for a reader, and keep its last message."""
        stderr = self._process.stderr
        assert stderr is not None
        while chunk := await stderr.read(_READ_BYTES):
            for line in chunk.decode("utf-8", "replace").splitlines():
                if line.strip() and not _LOG_LINE.search(line):
                    self._last_line = line.strip()[:MAX_LINE_CHARS]

    def _reason(self) -> str:
        code = self._process.returncode or 0
        how = f"it was ended by signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}; its last message: {self._last_line}" if self._last_line else how


async def read_body(stream: asyncio.StreamReader) -> bytes | None:
    """The body of the next message; None at the end. Raises EOFError inside a message, ValueError for a bad header."""
    length = None
    while line := (await stream.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return None if length is None else await stream.readexactly(length)
