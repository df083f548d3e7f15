"""The client half: start or reach a server and speak LSP to it, as an editor would.

Decides how answers find their questions. Refuses to know lsprotocol, so that it loads in milliseconds: tests,
benchmarks and the evaluation speak plain JSON values.
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


def _ignore(_method: str, _params: Any) -> None:
    pass


class ResponseFailed(Exception):
    """The server answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ServerGone(Exception):
    """The connection ended before the answer came."""


class Pending:
    """A question on its way. Awaiting it gives the result, or raises ResponseFailed or ServerGone."""

    def __init__(self, request_id: int, future: asyncio.Future[Any]) -> None:
        self.id = request_id
        self.future = future

    def __await__(self) -> Any:
        return self.future.__await__()


class Client:
    """One connection to a server. Made by ``start`` and ``connect``.

    ``notifications`` keeps what the server told, as (method, params). ``on_request`` answers what it asks;
    ``on_notification`` sees each notification as it comes. ``strays`` keeps messages that answer nothing we asked.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._frames = FrameReader()
        self.process: asyncio.subprocess.Process | None = None
        self.notifications: list[tuple[str, Any]] = []
        self.strays: list[dict[str, Any]] = []
        self.on_notification: NotificationHandler = _ignore
        self.on_request: RequestHandler = _ignore
        self.capabilities: dict[str, Any] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def initialize(
        self,
        options: Mapping[str, Any] | None = None,
        capabilities: Mapping[str, Any] | None = None,
        process_id: int | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """The handshake; returns and keeps the server's capabilities."""
        asked = {"processId": process_id, "rootUri": None, "capabilities": capabilities or {}, **params}
        if options is not None:
            asked["initializationOptions"] = options
        result = await self.request("initialize", asked)
        self.capabilities = result["capabilities"]
        self.notify("initialized", {})
        return self.capabilities

    def request(self, method: str, params: Any = None) -> Pending:
        """Send a request; await the answer whenever it suits."""
        request_id = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._listening.done():
            future.set_exception(ServerGone("The connection is closed."))
            return Pending(request_id, future)
        self._pending[request_id] = future
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return Pending(request_id, future)

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def cancel(self, pending: Pending) -> None:
        self.notify("$/cancelRequest", {"id": pending.id})

    def open(self, uri: str, text: str, language: str = "python", version: int = 1) -> None:
        document = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, version: int, *changes: Mapping[str, Any]) -> None:
        """Each change as LSP has it: ``{"text": …}`` or ``{"range": …, "text": …}``."""
        document = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    def inline_completion(self, uri: str, line: int, character: int, *, is_invoked: bool = False) -> Pending:
        return self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": line, "character": character},
                "context": {"triggerKind": 1 if is_invoked else 2},
            },
        )

    def send(self, message: object) -> None:
        """Any JSON value, well-formed LSP or not."""
        self.send_bytes(frame(json.dumps(message, separators=(",", ":")).encode()))

    def send_bytes(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)

    async def leave(self) -> int | None:
        """shutdown and exit; the exit code of a server that we started."""
        await self.request("shutdown")
        self.notify("exit")
        return await self.ended()

    async def ended(self) -> int | None:
        """Wait until the server has closed the connection and, if we started it, has ended."""
        await self._listening
        return await self.process.wait() if self.process else None

    def hang_up(self) -> None:
        """Close our side without a word."""
        self._writer.close()

    async def _listen(self) -> None:
        try:
            while chunk := await self._reader.read(65536):
                for body in self._frames.feed(chunk):
                    self._receive(json.loads(body))
        except (OSError, FramingError):
            pass
        finally:
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(ServerGone("The connection was closed before the answer."))
                    future.exception()  # nobody may be waiting
            self._pending.clear()

    def _receive(self, message: dict[str, Any]) -> None:
        if "method" in message and "id" in message:
            result = self.on_request(message["method"], message.get("params"))
            self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
        elif "method" in message:
            self.notifications.append((message["method"], message.get("params")))
            self.on_notification(message["method"], message.get("params"))
        elif (future := self._pending.pop(message.get("id", 0) or 0, None)) is None:
            self.strays.append(message)
        elif future.done():
            pass  # whoever asked has stopped waiting
        elif (error := message.get("error")) is not None:
            future.set_exception(ResponseFailed(error["code"], error["message"]))
        else:
            future.set_result(message.get("result"))


@asynccontextmanager
async def start(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, stderr: int | None = None
) -> AsyncIterator[Client]:
    """A server process over stdio; killed at the end if it has not left by itself."""
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
        client.hang_up()
        if process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), 4)
            except TimeoutError:
                process.kill()
                await process.wait()
        await client.ended()


@asynccontextmanager
async def connect(host: str, port: int) -> AsyncIterator[Client]:
    """A server that already listens."""
    client = Client(*await asyncio.open_connection(host, port))
    try:
        yield client
    finally:
        client.hang_up()
        await client.ended()
