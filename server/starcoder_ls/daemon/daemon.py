"""Many windows of one user over a unix socket around one engine: each its own session, none able to end another's.

Decides who is let in, and when nobody needs this process any more. Refuses to know what is said in a session.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.app import Server
from starcoder_ls.daemon import connect_or_spawn, engine_server, runtime_dir
from starcoder_ls.daemon.forwarder import GOODBYE
from starcoder_ls.errors import DaemonError, StarcoderError
from starcoder_ls.lsp import watchdog
from starcoder_ls.lsp.connection import Connection
from starcoder_ls.lsp.framing import FrameReader, FramingError
from starcoder_ls.lsp.tcp import SocketStream
from starcoder_ls.session.status_notifier import described
from starcoder_ls.settings import Settings

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_HELLO_S = 10.0
_FLUSH_S = 0.5
_CLOSE_S = 1.0
_LOOK_S = 1.0

Windows = Callable[[Mapping[str, Any]], Settings]
"""A window's hello -> its settings. Raises SettingsError."""


def serve(server: Server, descriptor: int, path: Path, settings_of: Windows, idle_s: float) -> int:
    """Serve whoever comes to the listening socket until nobody has been there for ``idle_s``, or until told to stop.

    Leaves no socket behind, and no engine. The process is gone within 3 s once it has begun to end.
    """
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    return asyncio.run(Daemon(server, listener, path, settings_of, idle_s).run())


@dataclass(eq=False, slots=True)
class _Window:
    stream: SocketStream
    hello: Mapping[str, Any]
    task: asyncio.Task[None]


class Daemon:
    def __init__(
        self, server: Server, listener: socket.socket, path: Path, settings_of: Windows, idle_s: float
    ) -> None:
        self._server, self._listener, self._path = server, listener, path
        self._settings_of, self._idle_s = settings_of, idle_s
        self._windows: set[_Window] = set()
        self._visitors: set[asyncio.Task[None]] = set()
        self._last_seen_s = time.monotonic()
        self._stop = asyncio.Event()
        self._sign = runtime_dir.identity(path)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the terminal that started a window is no affair of ours
        self._server.sharing.is_shared = True
        listening = await asyncio.start_unix_server(self._welcome, sock=self._listener)
        logger.info("resident at %s", self._path)
        while not self._stop.is_set() and not self._is_unneeded():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(_LOOK_S, self._idle_s / 4))
        watchdog.LastExit().arm(0)
        self._take_down_the_sign()
        listening.close()
        await self._dismiss()
        closing = threading.Thread(target=self._server.close, name="engine-close", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_S)
        return 0

    def _is_ours(self) -> bool:
        return self._sign is not None and runtime_dir.identity(self._path) == self._sign

    def _is_unneeded(self) -> bool:
        if self._server.is_unrecoverable:
            return True
        if not (self._windows or self._visitors or self._is_ours()):
            return True  # something has cleaned the folder: nobody can come any more
        if self._windows or self._visitors:
            self._last_seen_s = time.monotonic()
        return time.monotonic() - self._last_seen_s > self._idle_s

    def _take_down_the_sign(self) -> None:
        """Unless the socket of that name is another's by now."""
        try:
            with runtime_dir.locked(self._path):
                if self._is_ours():
                    self._path.unlink(missing_ok=True)
        except (DaemonError, OSError) as error:
            logger.warning("%s is left behind: %s", self._path, error)

    async def _dismiss(self) -> None:
        goodbye = connect_or_spawn.framed({"jsonrpc": "2.0", "method": GOODBYE})
        tasks = [window.task for window in self._windows]
        for window in list(self._windows):
            if not self._server.is_unrecoverable:  # without a goodbye they bring the next process at once
                window.stream.write(goodbye)
            await window.stream.close()
        if tasks:
            await asyncio.wait(tasks, timeout=_FLUSH_S)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visitors.add(task)
        stream = SocketStream(reader, writer, "unix")
        try:
            runtime_dir.check_peer(writer.get_extra_info("socket"))
            hello, rest = await asyncio.wait_for(_hello(reader), _HELLO_S)
        except (DaemonError, FramingError, ValueError, OSError, TimeoutError) as error:
            logger.warning("a visitor was put out: %s", type(error).__name__)
            stream.hang_up()
            return
        finally:
            self._visitors.discard(task)
        if hello.get("ask") in engine_server.QUESTIONS:
            await self._lend(stream, hello, task)
            return
        if "ask" in hello:
            await self._answer(stream, hello)
            return
        await self._attend(_Window(stream, hello, task), rest)

    async def _lend(self, stream: SocketStream, hello: Mapping[str, Any], task: asyncio.Task[None]) -> None:
        self._visitors.add(task)
        try:
            await engine_server.lend(self._server.ready_engine(), hello, stream)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("a question was not understood: %s", type(error).__name__)
            stream.hang_up()
        finally:
            self._visitors.discard(task)

    async def _answer(self, stream: SocketStream, hello: Mapping[str, Any]) -> None:
        """``starcoder-ls ps`` and ``stop``."""
        stream.write(connect_or_spawn.framed(self._description()))
        await stream.close()
        if hello["ask"] == "stop":
            self._stop.set()

    def _description(self) -> dict[str, Any]:
        windows = [{"process": window.hello.get("window")} for window in self._windows]
        return {
            **described(self._server.status(), self._server.sharing),
            "process": os.getpid(),
            "clients": windows,
        }

    async def _attend(self, window: _Window, rest: bytes) -> None:
        """A window from its hello to its end."""
        name = f"window {window.hello.get('window')}"
        window.stream.name = name
        try:
            settings = self._settings_of(window.hello)
        except StarcoderError as error:
            window.stream.write(connect_or_spawn.framed({"refusal": str(error)}))
            await window.stream.close()
            return
        window.stream.write(connect_or_spawn.framed({"process": os.getpid()}))
        self._windows.add(window)
        self._server.sharing.windows = len(self._windows)
        logger.info("%s: came, %d now", name, len(self._windows))
        session = self._server.session(settings)
        session.patience_s = 60.0
        session.backlog_bytes = window.stream.unsent_bytes
        try:
            window.stream.unread(rest)
            await Connection(session, window.stream).run()
        finally:
            self._windows.discard(window)
            self._server.sharing.windows = len(self._windows)
            self._last_seen_s = time.monotonic()
            logger.info("%s: left, %d now", name, len(self._windows))


async def _hello(reader: asyncio.StreamReader) -> tuple[Mapping[str, Any], bytes]:
    """The first frame, and what came behind it. Raises FramingError, ValueError."""
    async for body, rest in _frames(reader):
        hello = json.loads(body)
        if isinstance(hello, dict):
            return hello, rest
        break
    raise ValueError("no hello")


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    frames = FrameReader()
    while chunk := await reader.read(_CHUNK_BYTES):
        for body in frames.feed(chunk):
            yield body, frames.rest()
