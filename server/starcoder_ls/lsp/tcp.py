"""Many clients over loopback TCP around one engine: each its own session, none able to end another's.

Decides who may connect: processes of this machine that can read the token file. Refuses to know what is said.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import platformdirs

from starcoder_ls.app import Server
from starcoder_ls.errors import SettingsError
from starcoder_ls.lsp import watchdog
from starcoder_ls.lsp.connection import MAX_UNSENT_BYTES, Connection

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_ADMISSION_S = 10.0
_MAX_CONNECTIONS = 64
_FLUSH_S = 0.5
_CLOSE_S = 1.0

Listening = Callable[[str, int, Path], None]


def serve(server: Server, host: str = "127.0.0.1", port: int = 0, listening: Listening | None = None) -> int:
    """Serve until SIGTERM or SIGINT, close ``server``, and return the exit code for the process.

    ``port`` 0 takes a free one. ``listening`` is told host, port and token file once clients can come. The process is
    gone within 3 s of the signal. Raises SettingsError for a host that is not loopback or a port that is taken.
    """
    address = _loopback(host)
    if not 0 <= port <= 65535:
        raise SettingsError(f"{port} is not a port. Choose one from 1024 to 65535, or 0 for a free one.")
    try:
        return asyncio.run(_serve(server, address, port, listening))
    except OSError as error:
        raise SettingsError(f"Cannot listen on {address}:{port}: {error.strerror}. Choose another port.") from error


async def _serve(server: Server, host: str, port: int, listening: Listening | None) -> int:
    token = secrets.token_hex(16)
    streams: set[SocketStream] = set()
    tasks: set[asyncio.Task[None]] = set()

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = SocketStream(reader, writer)
        task = asyncio.current_task()
        if len(streams) >= _MAX_CONNECTIONS or task is None:
            logger.error("%s: refused, there are %d connections already", stream.name, len(streams))
            stream.hang_up()
            return
        streams.add(stream)
        tasks.add(task)
        try:
            await _attend(server, stream, token)
        finally:
            streams.discard(stream)
            tasks.discard(task)

    stop = asyncio.Event()
    listener = await asyncio.start_server(welcome, host, port)
    bound = int(listener.sockets[0].getsockname()[1])
    token_file = write_token(token, bound)
    try:
        if sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        logger.info("listening on %s:%d, token in %s", host, bound, token_file)
        if listening is not None:
            listening(host, bound, token_file)
        await stop.wait()
    finally:
        watchdog.LastExit().arm(0)
        token_file.unlink(missing_ok=True)
        listener.close()
        for stream in list(streams):
            stream.hang_up()
        if tasks:
            await asyncio.wait(tasks, timeout=_FLUSH_S)
    closing = threading.Thread(target=server.close, name="engine-close", daemon=True)
    closing.start()
    await asyncio.to_thread(closing.join, _CLOSE_S)
    return 0


async def _attend(server: Server, stream: SocketStream, token: str) -> None:
    """One connection from its first byte to its end; who does not show the token in time is put out."""
    connection = Connection(server.session(), stream, token)

    def check_admission() -> None:
        if not connection.is_admitted:
            logger.warning("%s: closed, no initialize within %d s", stream.name, _ADMISSION_S)
            stream.hang_up()

    timer = asyncio.get_running_loop().call_later(_ADMISSION_S, check_admission)
    try:
        await connection.run()
    finally:
        timer.cancel()


def token_path(port: int) -> Path:
    """Where the token of the server on ``port`` lies."""
    return Path(platformdirs.user_runtime_dir("starcoder-ls", appauthor=False)) / f"tcp-{port}.token"


def write_token(token: str, port: int) -> Path:
    """Into a file that only this user can read, from its first moment on."""
    path = token_path(port)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of a server that was killed
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
    return path


def _loopback(host: str) -> str:
    """Raises SettingsError: whoever connects reads the user's code, so other machines never may."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host in ("", "localhost") else host.strip("[]"))
        if address.is_loopback:
            return str(address)
    except ValueError:
        pass
    raise SettingsError(f"{host!r} is not an address of this machine alone. Use 127.0.0.1.")


class SocketStream:
    """An asyncio connection as a Stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = "") -> None:
        self._reader, self._writer = reader, writer
        self._unread = b""
        peer = writer.get_extra_info("peername") or ("?", 0)
        self.name = name or f"tcp {peer[0]}:{peer[1]}"

    def unread(self, data: bytes) -> None:
        """``data`` was read by somebody before and comes first."""
        self._unread = data

    def unsent_bytes(self) -> int:
        return int(self._writer.transport.get_write_buffer_size())

    async def read(self) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        try:
            return await self._reader.read(_CHUNK_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(data)
        if self.unsent_bytes() > MAX_UNSENT_BYTES:
            logger.error("%s: the client does not read; the connection is closed", self.name)
            self.hang_up()

    def hang_up(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), _FLUSH_S)
        except (OSError, TimeoutError):
            self.hang_up()
