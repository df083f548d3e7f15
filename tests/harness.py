"""A client and a session in one event loop, joined by a socket pair: the real connection, no process."""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

from fakes import SCRIPTED, ScriptedEngine
from starcoder_ls.app import Server
from starcoder_ls.lsp.client import Client
from starcoder_ls.lsp.connection import Connection
from starcoder_ls.lsp.tcp import SocketStream
from starcoder_ls.settings import Settings

URI = "file:///project/app.py"
GHOST: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}
FAKE_SERVER = [sys.executable, str(Path(__file__).parent / "serve_fake.py")]


P = ParamSpec("P")


def scenario(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """An async test in an event loop of its own, with a limit: what hangs fails."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            await asyncio.wait_for(test(*args, **kwargs), 30)

        asyncio.run(limited())

    return run


@asynccontextmanager
async def joined(server: Server) -> AsyncIterator[Client]:
    """A client of one more session of ``server``; nothing is said yet."""
    ours, theirs = socket.socketpair()
    connection = Connection(server.session(), SocketStream(*await asyncio.open_connection(sock=theirs)))
    serving = asyncio.create_task(connection.run())
    client = Client(*await asyncio.open_connection(sock=ours))
    try:
        yield client
    finally:
        client.hang_up()
        await serving
        await client.ended()


@asynccontextmanager
async def talking(
    engine: ScriptedEngine,
    settings: Settings | None = None,
    capabilities: dict[str, Any] | None = None,
    options: Any = None,
    is_ready: bool = True,
    folder: Path | None = None,
) -> AsyncIterator[Client]:
    """A client that is initialized, with ``engine`` behind the server, ready unless said otherwise."""
    folders = None if folder is None else [{"uri": folder.as_uri(), "name": folder.name}]
    server = Server(lambda _: engine, settings or SCRIPTED)
    try:
        async with joined(server) as client:
            wanted = GHOST if capabilities is None else capabilities
            await client.initialize(options, wanted, workspaceFolders=folders)
            if is_ready:
                await ready(client)
            yield client
    finally:
        await asyncio.to_thread(server.close)


async def ready(client: Client) -> None:
    """Until the engine can be asked."""
    while (await client.request("starcoder/status"))["phase"] != "ready":  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Until ``condition`` holds; fails after ``seconds``."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        await asyncio.sleep(0.002)


def told(client: Client, method: str) -> list[Any]:
    """The params of each notification of ``method`` so far."""
    return [params for name, params in client.notifications if name == method]
