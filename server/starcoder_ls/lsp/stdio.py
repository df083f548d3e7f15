"""One client over standard input and output, which belong to the protocol alone.

Decides that both pipes have threads of their own, so that neither a slow editor nor a busy loop blocks the other; what
fits into the pipe is written at once. Refuses to know what is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import select
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial

from starcoder_ls.app import Server
from starcoder_ls.lsp import watchdog
from starcoder_ls.lsp.connection import MAX_UNSENT_BYTES, Connection
from starcoder_ls.session.client_info import ClientInfo

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_UNREAD_CHUNKS = 256
_FLUSH_S = 0.5
_CLOSE_S = 1.0


def serve(server: Server) -> int:
    """Serve one client until it leaves, close ``server``, and return the exit code for the process.

    Takes file descriptors 0 and 1 away: from here on prints go to stderr, and children read nothing. Once it has
    begun to end, the process is gone within 3 s even if the engine, or whatever runs after this, hangs.
    """
    source, sink = _own_pipes()
    return asyncio.run(_serve(server, source, sink))


async def _serve(server: Server, source: int, sink: int) -> int:
    last_exit = watchdog.LastExit()
    stream = PipeStream(source, sink, at_end=lambda: last_exit.arm(1))
    session = server.session()
    loop = asyncio.get_running_loop()

    def parent_gone() -> None:
        last_exit.arm(1)
        loop.call_soon_threadsafe(stream.hang_up)

    def watch(client: ClientInfo) -> None:
        if client.process_id is not None:
            watchdog.watch_parent(client.process_id, parent_gone)

    session.on_introduction = watch
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stream.hang_up)
    exit_code = await Connection(session, stream).run()
    last_exit.arm(exit_code)
    closing = threading.Thread(target=server.close, name="engine-close", daemon=True)
    closing.start()
    await asyncio.to_thread(closing.join, _CLOSE_S)
    return exit_code


def _own_pipes() -> tuple[int, int]:
    """Private copies of stdin and stdout; in their places an empty input, and stderr."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


def _room_in(sink: int) -> Callable[[], int]:
    """How many bytes go into ``sink`` now, all of them and without waiting; 0 where nobody can say.

    POSIX promises PIPE_BUF, once, of a pipe that is reported as writable.
    """
    if sys.platform == "win32":
        return lambda: 0
    watched = select.poll()
    watched.register(sink, select.POLLOUT)
    return lambda: select.PIPE_BUF if watched.poll(0) == [(sink, select.POLLOUT)] else 0


class PipeStream:
    """Two blocking descriptors as a Stream: threads, because asyncio cannot read files, nor Windows' pipes."""

    name = "stdio"

    def __init__(self, source: int, sink: int, at_end: Callable[[], None] = lambda: None) -> None:
        self._source, self._sink = source, sink
        self._at_end = at_end
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(_UNREAD_CHUNKS)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unsent_bytes = 0
        self._has_ended = False
        self._room_in_sink, self._room_bytes = _room_in(sink), 0
        threading.Thread(target=self._read_all, name="stdin", daemon=True).start()
        self._writer = threading.Thread(target=self._write_all, name="stdout", daemon=True)
        self._writer.start()

    async def read(self) -> bytes:
        if self._has_ended:
            return b""
        chunk = await self._arrived.get()
        self._room.release()
        # Asked now, since to ask gives up the interpreter: when the answer comes, the engine's thread would take it.
        self._room_bytes = 0 if self._unsent_bytes else self._room_in_sink()
        return chunk

    def write(self, data: bytes) -> None:
        """As Stream has it, on the loop's thread alone. To wake the writer's costs an answer 0.1 ms."""
        if self._has_ended:
            return
        room, self._room_bytes = self._room_bytes, 0
        with self._lock:
            is_at_once = not self._unsent_bytes and len(data) <= room
            self._unsent_bytes += 0 if is_at_once else len(data)
            unsent = self._unsent_bytes
        if is_at_once:
            self._write_now(data)
            return
        if unsent > MAX_UNSENT_BYTES:
            logger.error("the client has not read %d bytes; the connection is closed", unsent)
            self.hang_up()
            return
        self._outgoing.put(data)

    def _write_now(self, data: bytes) -> None:
        try:
            os.write(self._sink, data)
        except OSError:  # EPIPE: nobody reads any more
            self.hang_up()

    def hang_up(self) -> None:
        self._has_ended = True
        self._arrived.put_nowait(b"")

    async def close(self) -> None:
        self._has_ended = True
        self._outgoing.put(None)
        await asyncio.to_thread(self._writer.join, _FLUSH_S)

    def _read_all(self) -> None:
        while True:
            try:
                chunk = os.read(self._source, _CHUNK_BYTES)
            except OSError:
                chunk = b""
            if not chunk:
                self._at_end()
            self._room.acquire()
            self._on_loop(partial(self._arrived.put_nowait, chunk))
            if not chunk:
                return

    def _write_all(self) -> None:
        while (data := self._outgoing.get()) is not None:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._sink, view) :]
            except OSError:  # EPIPE: nobody reads any more
                self._on_loop(self.hang_up)
                return
            with self._lock:
                self._unsent_bytes -= len(data)

    def _on_loop(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is leaving
            self._loop.call_soon_threadsafe(callback)
