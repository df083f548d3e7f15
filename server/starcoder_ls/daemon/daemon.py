"""The daemon: one process with one engine that serves all windows of a user over a unix socket.

Each window has a session of its own and cannot end another's. This module accepts clients, answers the queries of
``starcoder-ls ps`` and ``stop``, and decides when the process is no longer needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starcoder_ls.app import Server
from starcoder_ls.daemon import activity, attributing_loop, engine_server, heartbeat, message, runtime_dir
from starcoder_ls.daemon.activity import ActivityWriter
from starcoder_ls.daemon.attributed_engine import AttributedEngine
from starcoder_ls.daemon.attributing_loop import AttributingLoop
from starcoder_ls.daemon.forwarder import DAEMON_EXIT
from starcoder_ls.daemon.handshake import MAX_HELLO_BYTES, MAX_QUERY_BYTES, read_object
from starcoder_ls.daemon.heartbeat import ArmWatchdog, Heartbeat
from starcoder_ls.daemon.idle_timer import IdleTimer
from starcoder_ls.daemon.message import encode_frame
from starcoder_ls.daemon.quarantine import document_uri
from starcoder_ls.errors import DaemonError, StarcoderError
from starcoder_ls.generation import Phase
from starcoder_ls.lsp import watchdog
from starcoder_ls.lsp.connection import Connection
from starcoder_ls.lsp.framing import FramingError, frame
from starcoder_ls.lsp.tcp import SocketStream
from starcoder_ls.session.status_notifier import status_params
from starcoder_ls.settings import Settings

logger = logging.getLogger(__name__)

MAX_PENDING = 256
_FLUSH_TIMEOUT_S = 0.5
_MAX_CHECK_INTERVAL_S = 1.0
_WINDOW_PATIENCE_S = 60.0

SettingsOf = Callable[[Mapping[str, Any]], Settings]
"""Maps the hello of a window to its settings. Raises SettingsError."""


def serve(
    server: Server,
    descriptor: int,
    path: Path,
    settings_of: SettingsOf,
    idle_s: float,
    arm_watchdog: ArmWatchdog = heartbeat.arm_watchdog,
) -> int:
    """Serve clients of the listening socket until no window has been connected for ``idle_s``, or until stopped.

    Closes ``server`` and removes the socket at ``path``. The process exits within 3 s after it has begun to stop.
    """
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    with asyncio.Runner(loop_factory=AttributingLoop) as runner:
        return runner.run(Daemon(server, listener, path, settings_of, idle_s, arm_watchdog).run())


@dataclass(eq=False, slots=True)
class _Window:
    stream: SocketStream
    connection: Any  # asyncio's TransportSocket
    hello: Mapping[str, Any]
    task: asyncio.Task[None]


class Daemon:
    """Runs on one event loop. ``_pending`` are connections that are no window (yet): handshakes and engine queries."""

    def __init__(
        self,
        server: Server,
        listener: socket.socket,
        path: Path,
        settings_of: SettingsOf,
        idle_s: float,
        arm_watchdog: ArmWatchdog,
    ) -> None:
        self._server, self._listener, self._path = server, listener, path
        self._settings_of, self._idle_s = settings_of, idle_s
        self._windows: set[_Window] = set()
        self._pending: set[asyncio.Task[None]] = set()
        self._idle_timer = IdleTimer(idle_s)
        self._stop = asyncio.Event()
        self._forced_exit, self._is_ending = watchdog.ForcedExit(), False
        self._socket_identity = runtime_dir.socket_identity(path)
        self._activity = _create_activity()
        self._heartbeat = Heartbeat(
            self._activity,
            lambda: server.status().phase is Phase.LOADING,
            lambda: bool(self._windows),
            arm_watchdog,
        )
        if (shared := self._activity) is not None:
            server.wrap_engines(lambda engine: AttributedEngine(engine, shared))

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # sent when the terminal of the first window is closed
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, partial(self._on_signal, loop))  # not as a callback of the loop, which may be busy
        if isinstance(loop, AttributingLoop):
            loop.activity = self._activity
        self._heartbeat.start()
        self._server.process_info.is_shared = True
        listening = await asyncio.start_unix_server(self._accept, sock=self._listener)
        logger.info("daemon listens at %s", self._path)
        while not self._stop.is_set() and not self._is_unneeded():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(_MAX_CHECK_INTERVAL_S, self._idle_s / 4))
        self._begin_end()
        self._remove_socket()
        listening.close()
        await self._disconnect_all()
        await watchdog.close_in_time(self._server.close)
        return 0

    def _on_signal(self, loop: asyncio.AbstractEventLoop, *_: object) -> None:
        """Between two Python instructions of the loop's thread, also inside a callback that does not return."""
        self._begin_end()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(self._stop.set)

    def _begin_end(self) -> None:
        """From now on the process ends with code 0, at the latest when ``ForcedExit`` says so. Idempotent."""
        if not self._is_ending:  # a signal handler must not enter ``arm`` while the loop is in it
            self._is_ending = True
            self._heartbeat.stop(is_exit_certain=self._forced_exit.arm(0))

    def _is_unneeded(self) -> bool:
        has_clients = bool(self._windows or self._pending)
        if self._server.is_unrecoverable or self._server.process_failure:
            return True
        if not has_clients and not self._owns_socket():
            return True  # the socket file was removed: no client can connect any more
        return self._idle_timer.is_expired(has_clients)

    def _owns_socket(self) -> bool:
        return self._socket_identity is not None and runtime_dir.socket_identity(self._path) == self._socket_identity

    def _remove_socket(self) -> None:
        """Unless the path belongs to another daemon's socket by now."""
        try:
            with runtime_dir.lock(self._path):
                if self._owns_socket():
                    self._path.unlink(missing_ok=True)
        except (DaemonError, OSError) as error:
            logger.warning("the socket %s could not be removed: %s", self._path, error)

    async def _disconnect_all(self) -> None:
        """Announce the exit, so that windows start the next daemon only when they need it; after a failure that the
        next one would have too, only when a user asks for something or after a delay.

        If the engine cannot recover, the windows shall start the next one at once, so there is no announcement.
        """
        error = self._server.process_failure
        announcement = frame(message.encode(method=DAEMON_EXIT, **({"params": {"error": error}} if error else {})))
        tasks = [window.task for window in self._windows]
        for window in list(self._windows):
            if error or not self._server.is_unrecoverable:
                window.stream.write(announcement)
            await window.stream.close()
        if tasks:
            await asyncio.wait(tasks, timeout=_FLUSH_TIMEOUT_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection from its first message, the hello of a window or a query, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._pending.add(task)
        stream = SocketStream(reader, writer, "unix")
        try:
            runtime_dir.check_peer(writer.get_extra_info("socket"))
            if len(self._pending) > MAX_PENDING:
                raise ValueError("too many connections have sent no message")
            hello, rest = await read_object(stream, MAX_HELLO_BYTES)
        except (DaemonError, FramingError, ValueError, OSError, TimeoutError) as error:
            logger.warning("client rejected: %s", type(error).__name__)
            stream.abort()
            return
        finally:
            self._pending.discard(task)
        if hello.get("query") in engine_server.QUERIES:
            stream.prepend(rest)
            await self._answer_engine_query(stream, hello, task)
        elif "query" in hello:
            await self._answer_query(stream, hello)
        else:
            await self._serve_window(_Window(stream, writer.get_extra_info("socket"), hello, task), rest)

    async def _answer_engine_query(
        self, stream: SocketStream, query: Mapping[str, Any], task: asyncio.Task[None]
    ) -> None:
        self._pending.add(task)
        try:
            if query["query"] in engine_server.QUERIES_WITH_REQUEST:
                body, rest = await read_object(stream, MAX_QUERY_BYTES)
                stream.prepend(rest)
                query = {**query, **body}
            await engine_server.answer_query(self._server.ready_engine(), query, stream)
        except (KeyError, TypeError, ValueError, FramingError, TimeoutError) as error:
            logger.warning("invalid engine query: %s", type(error).__name__)
            stream.abort()
        finally:
            self._pending.discard(task)

    async def _answer_query(self, stream: SocketStream, query: Mapping[str, Any]) -> None:
        """Answer ``starcoder-ls ps`` and ``stop``."""
        stream.write(encode_frame(self._process_status()))
        await stream.close()
        if query["query"] == "stop":
            self._stop.set()

    def _process_status(self) -> dict[str, Any]:
        windows = [{"process": window.hello.get("window")} for window in self._windows]
        return {
            **status_params(self._server.status(), self._server.process_info),
            "process": os.getpid(),
            "clients": windows,
        }

    async def _serve_window(self, window: _Window, rest: bytes) -> None:
        """Serve a window until it disconnects. ``rest`` are the bytes that were received after its hello."""
        name = f"window {window.hello.get('window')}"
        window.stream.name = name
        try:
            settings = self._settings_of(window.hello)
        except StarcoderError as error:
            window.stream.write(encode_frame({"rejection": str(error)}))
            await window.stream.close()
            return
        self._accept_hello(window)
        self._windows.add(window)
        self._server.process_info.windows = len(self._windows)
        logger.info("%s: connected, windows: %d", name, len(self._windows))
        file = window.hello.get("settings")
        session = self._server.create_session(settings, Path(file) if file else None)
        session.engine_wait_s = _WINDOW_PATIENCE_S
        session.send_queue_bytes = window.stream.send_queue_bytes
        try:
            window.stream.prepend(rest)
            await Connection(session, window.stream, observe=self._observer(window)).run()
        finally:
            self._windows.discard(window)
            self._server.process_info.windows = len(self._windows)
            self._idle_timer.restart()
            logger.info("%s: disconnected, windows: %d", name, len(self._windows))

    def _accept_hello(self, window: _Window) -> None:
        """Answer the hello; the answer brings the descriptor of the shared memory. Nothing was sent before."""
        answer = encode_frame({"process": os.getpid()})
        if self._activity is None:
            window.stream.write(answer)
            return
        with contextlib.suppress(OSError), window.connection.dup() as connection:  # the window may have gone
            socket.send_fds(connection, [answer], [self._activity.descriptor])

    def _observer(self, window: _Window) -> Callable[[object], AbstractContextManager[None]]:
        """Attributes the processing of a message to the window and the document that it names."""
        shared, process_id = self._activity, window.hello.get("window")
        if shared is None or type(process_id) is not int or abs(process_id) >= 2**63:
            return lambda _: nullcontext()

        def observe(message: object) -> AbstractContextManager[None]:
            uri = document_uri(message.get("params")) if isinstance(message, dict) else ""
            return attributing_loop.processing(shared, activity.entry(process_id, uri))

        return observe


def _create_activity() -> ActivityWriter | None:
    try:
        return ActivityWriter()
    except OSError as error:
        logger.warning("windows cannot watch this process: %s", error.strerror)
        return None
