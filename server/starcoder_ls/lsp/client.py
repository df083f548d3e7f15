"""An LSP client, for tests, benchmarks and the evaluation: starts a server or connects to one, as an editor does.

It works with plain JSON values instead of lsprotocol's types, so that it is imported in milliseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starcoder_ls.lsp.framing import FrameReader, FramingError, frame

NotificationHandler = Callable[[str, Any], None]
RequestHandler = Callable[[str, Any], Any]

_EXIT_TIMEOUT_S = 4


def _ignore(_method: str, _params: Any) -> None:
    pass


class ResponseFailed(Exception):
    """The server sent an error response."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ConnectionClosed(Exception):
    """The connection was closed before the response arrived."""


class PendingRequest:
    """A request without a response yet. Awaiting it returns the result.

    Raises ResponseFailed if the server sends an error, ConnectionClosed if the connection ends before.
    """

    def __init__(self, request_id: int, future: asyncio.Future[Any]) -> None:
        self.id = request_id
        self.future = future

    def __await__(self) -> Any:
        return self.future.__await__()


class Client:
    """One connection to a server, made by ``start`` and ``connect``.

    ``notifications`` collects the server's notifications as (method, params); ``on_notification`` is called with each.
    ``on_request`` returns the result for a request of the server. ``unmatched_responses`` collects responses to no
    pending request.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._frames = FrameReader()
        self.process: asyncio.subprocess.Process | None = None
        self.notifications: list[tuple[str, Any]] = []
        self.unmatched_responses: list[dict[str, Any]] = []
        self.on_notification: NotificationHandler = _ignore
        self.on_request: RequestHandler = _ignore
        self.capabilities: dict[str, Any] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read_loop())

    async def initialize(
        self,
        options: Mapping[str, Any] | None = None,
        capabilities: Mapping[str, Any] | None = None,
        process_id: int | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """Send ``initialize`` and ``initialized``; returns the server's capabilities."""
        all_params = {"processId": process_id, "rootUri": None, "capabilities": capabilities or {}, **params}
        if options is not None:
            all_params["initializationOptions"] = options
        result = await self.request("initialize", all_params)
        self.capabilities = result["capabilities"]
        self.notify("initialized", {})
        return self.capabilities

    def request(self, method: str, params: Any = None) -> PendingRequest:
        """Send a request; await what it returns for the result."""
        request_id = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._reading.done():
            future.set_exception(ConnectionClosed("The connection is closed."))
            return PendingRequest(request_id, future)
        self._pending[request_id] = future
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return PendingRequest(request_id, future)

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def cancel(self, pending: PendingRequest) -> None:
        self.notify("$/cancelRequest", {"id": pending.id})

    def open(self, uri: str, text: str, language: str = "python", version: int = 1) -> None:
        document = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, version: int, *changes: Mapping[str, Any]) -> None:
        """``changes`` as in LSP: ``{"text": …}`` or ``{"range": …, "text": …}``."""
        document = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    def inline_completion(self, uri: str, line: int, character: int, *, is_invoked: bool = False) -> PendingRequest:
        return self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": line, "character": character},
                "context": {"triggerKind": 1 if is_invoked else 2},
            },
        )

    def send(self, message: object) -> None:
        """Send any JSON value, valid LSP or not."""
        self.send_bytes(frame(json.dumps(message, separators=(",", ":")).encode()))

    def send_bytes(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)

    async def shutdown(self) -> int | None:
        """Send ``shutdown`` and ``exit``; the exit code if ``start`` started the server."""
        await self.request("shutdown")
        self.notify("exit")
        return await self.wait_closed()

    async def wait_closed(self) -> int | None:
        """Wait until the server has closed the connection and, if ``start`` started it, has ended; its exit code."""
        await self._reading
        return await self.process.wait() if self.process else None

    def close(self) -> None:
        """Close the connection without ``shutdown`` and ``exit``."""
        self._writer.close()

    async def _read_loop(self) -> None:
        try:
            while chunk := await self._reader.read(65536):
                for body in self._frames.feed_data(chunk):
                    self._receive(json.loads(body))
        except (OSError, FramingError):
            pass
        finally:
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(ConnectionClosed("The connection was closed before the response."))
                    future.exception()  # mark as retrieved: the request may not be awaited
            self._pending.clear()

    def _receive(self, message: dict[str, Any]) -> None:
        if "method" in message and "id" in message:
            result = self.on_request(message["method"], message.get("params"))
            self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
        elif "method" in message:
            self.notifications.append((message["method"], message.get("params")))
            self.on_notification(message["method"], message.get("params"))
        elif (future := self._pending.pop(message.get("id", 0) or 0, None)) is None:
            self.unmatched_responses.append(message)
        elif future.done():
            pass  # the caller has cancelled its wait
        elif (error := message.get("error")) is not None:
            future.set_exception(ResponseFailed(error["code"], error["message"]))
        else:
            future.set_result(message.get("result"))


@asynccontextmanager
async def start(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, stderr: int | None = None
) -> AsyncIterator[Client]:
    """A new server process over stdio. It is killed if it has not ended 4 s after the body has."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=stderr, env=dict(env) if env is not None else None
    )
    assert process.stdout is not None
    assert process.stdin is not None
    client = Client(process.stdout, process.stdin)
    client.process = process
    try:
        yield client
    finally:
        client.close()
        if process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), _EXIT_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        await client.wait_closed()


@asynccontextmanager
async def connect(host: str, port: int) -> AsyncIterator[Client]:
    """A server that listens on ``host`` and ``port``."""
    client = Client(*await asyncio.open_connection(host, port))
    try:
        yield client
    finally:
        client.close()
        await client.wait_closed()
