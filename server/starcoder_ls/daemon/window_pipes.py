"""Reading and writing of a window's process: what it waits for, and when it gives up.

No call waits for a process that will never read: it ends when the editor has closed its pipes, or has read nothing for
a minute.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable

READ_BYTES = 64 * 1024
STALL_S = 60.0
"""An editor that reads nothing for so long is disconnected."""

GRACE_S = 1.5
"""How long sending may go on after the editor has closed its pipes: what it sent before should arrive."""

_POLL_MS = 200
_WRITE_BYTES = 4096
"""POSIX guarantees that so much fits into a pipe that ``poll`` reports as writable."""


class EditorPipes:
    """The editor's pipes. ``on_lost`` ends the process; it is called in the thread that finds the editor gone."""

    def __init__(
        self, source: int, sink: int, on_lost: Callable[[], None], stall_s: float = STALL_S, grace_s: float = GRACE_S
    ) -> None:
        self._source, self._sink = source, sink
        self._on_lost, self._stall_s, self._grace_s = on_lost, stall_s, grace_s
        self._write_lock = threading.Lock()

    def read(self) -> bytes:
        """The next bytes; empty at the end."""
        try:
            return os.read(self._source, READ_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Blocks while the editor does not read, so that the caller does not read from the daemon meanwhile."""
        view = memoryview(data)
        poller = select.poll()
        poller.register(self._sink, select.POLLOUT)
        with self._write_lock:
            while view:
                if not poller.poll(self._stall_s * 1000):
                    self._on_lost()
                    return
                try:
                    view = view[os.write(self._sink, view[:_WRITE_BYTES]) :]
                except OSError:  # EPIPE: the editor has closed the pipe
                    self._on_lost()
                    return

    def send(self, connection: socket.socket, data: bytes) -> None:
        """Send ``data`` to the daemon, however long it does not read, while the editor exists. Raises OSError."""
        view, waited_s = memoryview(data), 0.0
        while view:
            try:
                view = view[connection.send(view, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                if not self._wait_to_send(connection):
                    waited_s += _POLL_MS / 1000
                    if waited_s > self._grace_s:
                        self._on_lost()
                        return

    def _wait_to_send(self, connection: socket.socket) -> bool:
        """Wait a moment for ``connection``. False if the editor is gone."""
        poller = select.poll()
        poller.register(connection, select.POLLOUT)
        poller.poll(_POLL_MS)
        hangup = select.poll()
        hangup.register(self._source, 0)  # reports only that the other end is closed
        return not hangup.poll(0)
