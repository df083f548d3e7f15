"""Serves any number of clients over loopback TCP, each with its own session.

Decides who may connect: processes of this machine that can read the token file.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from starcoder_ls.errors import SettingsError
from starcoder_ls.lsp import watchdog
from starcoder_ls.lsp.authentication import PendingClients
from starcoder_ls.lsp.connection import MAX_SEND_QUEUE_BYTES, Connection, SessionServer
from starcoder_ls.private_files import create_private_file
from starcoder_ls.user_folders import runtime_folder

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
MAX_CLIENTS = 64
_DRAIN_TIMEOUT_S = 0.5

OnListening = Callable[[str, int, Path], None]
"""Called with host, port and token file."""


def serve(
    server: SessionServer, host: str = "127.0.0.1", port: int = 0, on_listening: OnListening | None = None
) -> int:
    """Serve until SIGTERM or SIGINT, close ``server``, and return the process's exit code.

    ``port`` 0 means a free one. ``on_listening`` is called once clients can connect. The process ends within 3 s of the
    signal. Raises SettingsError for a host that is not loopback or a port that is in use.
    """
    address = loopback_address(host)
    if not 0 <= port <= 65535:
        raise SettingsError(f"{port} is not a port. Choose one from 1024 to 65535, or 0 for a free one.")
    try:
        return asyncio.run(_serve(server, address, port, on_listening))
    except OSError as error:
        raise SettingsError(f"Cannot listen on {address}:{port}: {error.strerror}. Choose another port.") from error


async def _serve(server: SessionServer, host: str, port: int, on_listening: OnListening | None) -> int:
    token = secrets.token_hex(16)
    streams: set[SocketStream] = set()
    tasks: set[asyncio.Task[None]] = set()

    pending = PendingClients(token)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = SocketStream(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        streams.add(stream)
        tasks.add(task)
        try:
            await _serve_client(server, stream, pending, has_room=lambda: len(streams) - len(pending) <= MAX_CLIENTS)
        finally:
            streams.discard(stream)
            tasks.discard(task)

    stop = asyncio.Event()
    listener = await asyncio.start_server(accept, host, port)
    actual_port = int(listener.sockets[0].getsockname()[1])
    token_file = write_token(token, actual_port)
    try:
        if sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        logger.info("listening on %s:%d, token in %s", host, actual_port, token_file)
        if on_listening is not None:
            on_listening(host, actual_port, token_file)
        await stop.wait()
    finally:
        watchdog.ForcedExit().arm(0)
        token_file.unlink(missing_ok=True)
        listener.close()
        for stream in list(streams):
            stream.abort()
        if tasks:
            await asyncio.wait(tasks, timeout=_DRAIN_TIMEOUT_S)
    await watchdog.close_in_time(server.close)
    return 0


async def _serve_client(
    server: SessionServer, stream: SocketStream, pending: PendingClients, has_room: Callable[[], bool]
) -> None:
    """Serve one connection once it has shown the token and if there is room for one more client."""
    received = await pending.authenticate(stream)
    if received is None:
        return
    if not has_room():
        logger.error("%s: client rejected, there are %d clients already", stream.name, MAX_CLIENTS)
        stream.abort()
        return
    stream.prepend(received)
    await Connection(server.create_session(), stream).run()


def token_path(port: int) -> Path:
    """The token file of the server on ``port``."""
    return runtime_folder() / f"tcp-{port}.token"


def write_token(token: str, port: int) -> Path:
    """Write ``token`` to a file that only this user can read, from its creation on. Raises OSError."""
    path = token_path(port)
    path.unlink(missing_ok=True)  # left behind by a server that was killed
    create_private_file(path, token)
    return path


def loopback_address(host: str) -> str:
    """Raises SettingsError for other addresses: a client reads the user's code, so other machines must not connect."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host in ("", "localhost") else host.strip("[]"))
        if address.is_loopback:
            return str(address)
    except ValueError:
        pass
    raise SettingsError(f"{host!r} is not a loopback address of this machine. Use 127.0.0.1.")


class SocketStream:
    """An asyncio connection as a Stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = "") -> None:
        self._reader, self._writer = reader, writer
        self._prepended = b""
        peer = writer.get_extra_info("peername") or ("?", 0)
        self.name = name or f"tcp {peer[0]}:{peer[1]}"

    def prepend(self, data: bytes) -> None:
        """Let the next ``read`` return ``data``, which was read from the connection before."""
        self._prepended = data

    def send_queue_bytes(self) -> int:
        """Bytes that the client has been sent and has not read."""
        return int(self._writer.transport.get_write_buffer_size())

    async def read(self) -> bytes:
        if self._prepended:
            data, self._prepended = self._prepended, b""
            return data
        try:
            return await self._reader.read(_CHUNK_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(data)
        if self.send_queue_bytes() > MAX_SEND_QUEUE_BYTES:
            logger.error("%s: the client does not read; the connection is closed", self.name)
            self.abort()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), _DRAIN_TIMEOUT_S)
        except (OSError, TimeoutError):
            self.abort()
