"""A client and a server session in one event loop, connected by a socket pair: the real connection, no process."""

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

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from starcoder_ls.app import Server
from starcoder_ls.generation import Phase
from starcoder_ls.lsp.client import Client
from starcoder_ls.lsp.connection import Connection
from starcoder_ls.lsp.tcp import SocketStream
from starcoder_ls.settings import Settings

URI = "file:///project/app.py"
INLINE_COMPLETION: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}
"""Capabilities of a client that shows ghost text."""
FAKE_SERVER_COMMAND = [sys.executable, str(Path(__file__).parent / "serve_fake.py")]


P = ParamSpec("P")


def async_test(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test in its own event loop; it fails after five minutes."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            await asyncio.wait_for(test(*args, **kwargs), 300)

        asyncio.run(limited())

    return run


@asynccontextmanager
async def connect_client(server: Server) -> AsyncIterator[Client]:
    """A client connected to a new session of ``server``; it has not sent ``initialize``."""
    client_socket, server_socket = socket.socketpair()
    connection = Connection(server.create_session(), SocketStream(*await asyncio.open_connection(sock=server_socket)))
    serving = asyncio.create_task(connection.run())
    client = Client(*await asyncio.open_connection(sock=client_socket))
    try:
        yield client
    finally:
        client.close()
        await serving
        await client.wait_closed()


@asynccontextmanager
async def initialized_client(
    engine: ScriptedEngine,
    settings: Settings | None = None,
    capabilities: dict[str, Any] | None = None,
    options: Any = None,
    is_ready: bool = True,
    folder: Path | None = None,
) -> AsyncIterator[Client]:
    """An initialized client of a server with ``engine``, which is ready unless ``is_ready`` is False."""
    folders = None if folder is None else [{"uri": folder.as_uri(), "name": folder.name}]
    server = Server(lambda _: engine, settings or SCRIPTED_SETTINGS)
    try:
        async with connect_client(server) as client:
            declared = INLINE_COMPLETION if capabilities is None else capabilities
            await client.initialize(options, declared, workspaceFolders=folders)
            if is_ready:
                await wait_until_ready(client)
            yield client
    finally:
        await asyncio.to_thread(server.close)


async def wait_until_ready(client: Client) -> None:
    """Poll ``starcoder/status`` until the engine is ready."""
    while (await client.request("starcoder/status"))["phase"] != "ready":  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def wait_until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Wait until ``condition()`` is true; the test fails after ``seconds``."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"the condition was still false after {seconds} s"
        await asyncio.sleep(0.002)


async def wait_until_idle(engine: ScriptedEngine) -> None:
    """Wait until the engine has ended its generations; a cancelled one ends long before its script does."""
    await wait_until(lambda: engine.status().phase is Phase.READY)


def notifications_of(client: Client, method: str) -> list[Any]:
    """The params of all notifications of ``method`` received so far, oldest first."""
    return [params for name, params in client.notifications if name == method]
