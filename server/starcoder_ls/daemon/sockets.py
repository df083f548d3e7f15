"""What a window does with its connection to the daemon, which may end at any time."""

from __future__ import annotations

import contextlib
import socket


def shut_down(connection: socket.socket) -> None:
    """End the connection from any thread, also for a thread that is blocked in sending or receiving."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def disconnect(connection: socket.socket) -> None:
    """Shut down and close. Closing alone would not wake a thread that is blocked in sending."""
    shut_down(connection)
    connection.close()


def close_sending(connection: socket.socket) -> None:
    """Let the daemon see the end of its input; what it sends still arrives."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
