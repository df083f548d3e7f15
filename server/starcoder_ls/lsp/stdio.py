"""Serves one client over standard input and output.

Both pipes have their own threads, so that a slow editor and a busy event loop do not block each other. Data that fits
into the output pipe is written without the thread.
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

from starcoder_ls.loop_queue import LoopQueue
from starcoder_ls.lsp import watchdog
from starcoder_ls.lsp.connection import MAX_SEND_QUEUE_BYTES, Connection, SessionServer

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_MAX_QUEUED_CHUNKS = 256
_DRAIN_TIMEOUT_S = 0.5


def serve(server: SessionServer) -> int:
    """Serve one client until it disconnects, close ``server``, and return the process's exit code.

    Replaces the file descriptors 0 and 1: from then on prints go to stderr, and child processes read nothing. Once the
    end has begun the process ends within 3 s, even if the engine hangs.
    """
    source, sink = _take_over_stdio()
    return asyncio.run(_serve(server, source, sink))


async def _serve(server: SessionServer, source: int, sink: int) -> int:
    forced_exit = watchdog.ForcedExit()
    stream = PipeStream(source, sink, on_eof=lambda: forced_exit.arm(1))
    session = server.create_session()
    loop = asyncio.get_running_loop()

    def on_parent_exit() -> None:
        forced_exit.arm(1)
        loop.call_soon_threadsafe(stream.abort)

    session.on_process_id = lambda process_id: watchdog.watch_parent(process_id, on_parent_exit)
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stream.abort)
    exit_code = await Connection(session, stream).run()
    forced_exit.arm(exit_code)
    await watchdog.close_in_time(server.close)
    return exit_code


def _take_over_stdio() -> tuple[int, int]:
    """Private duplicates of stdin and stdout, which are replaced by an empty input and by stderr."""
    source, sink = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


def _poll_writable_bytes(sink: int) -> Callable[[], int]:
    """A function for how many bytes can be written to ``sink`` now without blocking; 0 where that is unknown.

    POSIX guarantees one write of PIPE_BUF bytes to a pipe that ``poll`` reports as writable.
    """
    if sys.platform == "win32":
        return lambda: 0
    poller = select.poll()
    poller.register(sink, select.POLLOUT)
    return lambda: select.PIPE_BUF if poller.poll(0) == [(sink, select.POLLOUT)] else 0


class PipeStream:
    """Two blocking descriptors as a Stream. It uses threads: asyncio cannot read files, nor pipes on Windows.

    ``on_eof`` is called in the reading thread at the end of the input.
    """

    name = "stdio"

    def __init__(self, source: int, sink: int, on_eof: Callable[[], object] = lambda: None) -> None:
        self._source, self._sink = source, sink
        self._on_eof = on_eof
        self._loop = asyncio.get_running_loop()
        self._incoming: LoopQueue[bytes] = LoopQueue()
        self._free_chunks = threading.Semaphore(_MAX_QUEUED_CHUNKS)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._send_queue_bytes = 0
        self._is_closed = False
        self._poll_writable, self._writable_bytes = _poll_writable_bytes(sink), 0
        threading.Thread(target=self._read_loop, name="stdin", daemon=True).start()
        self._writer = threading.Thread(target=self._write_loop, name="stdout", daemon=True)
        self._writer.start()

    async def read(self) -> bytes:
        if self._is_closed:
            return b""
        chunk = await self._incoming.get()
        self._free_chunks.release()
        # Polled here because polling releases the GIL: in `write` the engine's thread would take it.
        self._writable_bytes = 0 if self._send_queue_bytes else self._poll_writable()
        return chunk

    def write(self, data: bytes) -> None:
        """See Stream. Only on the loop's thread. Waking the writing thread delays a response by 0.1 ms."""
        if self._is_closed:
            return
        writable, self._writable_bytes = self._writable_bytes, 0
        with self._lock:
            is_direct = not self._send_queue_bytes and len(data) <= writable
            self._send_queue_bytes += 0 if is_direct else len(data)
            queued = self._send_queue_bytes
        if is_direct:
            self._write_directly(data)
            return
        if queued > MAX_SEND_QUEUE_BYTES:
            logger.error("the client has not read %d bytes; the connection is closed", queued)
            self.abort()
            return
        self._outgoing.put(data)

    def _write_directly(self, data: bytes) -> None:
        try:
            os.write(self._sink, data)
        except OSError:  # EPIPE: the client has closed the pipe
            self.abort()

    def abort(self) -> None:
        self._is_closed = True
        self._incoming.put(b"")

    async def close(self) -> None:
        self._is_closed = True
        self._outgoing.put(None)
        await asyncio.to_thread(self._writer.join, _DRAIN_TIMEOUT_S)

    def _read_loop(self) -> None:
        while True:
            try:
                chunk = os.read(self._source, _CHUNK_BYTES)
            except OSError:
                chunk = b""
            if not chunk:
                self._on_eof()
            self._free_chunks.acquire()
            self._incoming.put_from_thread(chunk)
            if not chunk:
                return

    def _write_loop(self) -> None:
        while (data := self._outgoing.get()) is not None:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._sink, view) :]
            except OSError:  # EPIPE: the client has closed the pipe
                self._call_on_loop(self.abort)
                return
            with self._lock:
                self._send_queue_bytes -= len(data)

    def _call_on_loop(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(callback)
