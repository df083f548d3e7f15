"""uvicorn's server without its handling of signals, and the sockets for it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import uvicorn

from starcoder_ls.errors import SettingsError


class UnsignalledServer(uvicorn.Server):
    """Leaves signals to its owner: uvicorn raises them again after its end, which would be the exit code."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(address: str, port: int) -> socket.socket:
    """A listening socket: clients can connect from now on. ``port`` 0 means a free one. Raises SettingsError."""
    if not 0 <= port <= 65535:
        raise SettingsError(f"{port} is not a port. Choose one from 1024 to 65535, or 0 for a free one.")
    try:
        return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise SettingsError(f"Cannot listen on {address}:{port}: {reason}. Choose another port.") from error
