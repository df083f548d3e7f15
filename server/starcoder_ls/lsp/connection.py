"""One client's connection: reads frames from a stream and passes each message to the session.

Decides what ends a connection. Nothing that a client sends affects another client's connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from starcoder_ls.lsp.framing import FrameReader, FramingError, frame
from starcoder_ls.lsp.json_body import TooManyValues, parse_body
from starcoder_ls.lsp.protocol import Lifecycle, LspProtocol

logger = logging.getLogger(__name__)

MAX_SEND_QUEUE_BYTES = 16 * 1024 * 1024

Observe = Callable[[object], AbstractContextManager[None]]
"""A context in which a parsed message is processed."""


class Stream(Protocol):
    """A byte stream from and to one client."""

    name: str

    async def read(self) -> bytes:
        """The next bytes; empty after the client has closed the stream or ``abort`` was called."""
        ...

    def write(self, data: bytes) -> None:
        """Queue ``data`` without blocking. Aborts when more than MAX_SEND_QUEUE_BYTES are queued."""
        ...

    def abort(self) -> None:
        """Close at once; queued data may be lost."""
        ...

    async def close(self) -> None:
        """Wait a moment for queued data to be sent, then close."""
        ...


class ConnectedSession(Protocol):
    """What a connection needs of a session."""

    on_process_id: Callable[[int], None]
    """Called with the client's process id when ``initialize`` has one."""

    @property
    def protocol(self) -> LspProtocol[Any]: ...

    def close(self) -> None:
        """The client is gone: stop all work for it."""
        ...


class SessionServer(Protocol):
    """What a transport needs of the server."""

    def create_session(self) -> ConnectedSession: ...

    def close(self) -> None:
        """Close the engine and wait for it."""
        ...


class Connection:
    """A session on a stream. Each message is processed inside the context that ``observe`` returns for it."""

    def __init__(self, session: ConnectedSession, stream: Stream, observe: Observe = lambda _: nullcontext()) -> None:
        self._session = session
        self._stream = stream
        self._observe = observe
        self._frames = FrameReader()
        session.protocol.connect(lambda body: stream.write(frame(body)))

    async def run(self) -> int:
        """Serve until the client disconnects. 0 after ``shutdown`` or a regular ``exit``, else 1."""
        protocol = self._session.protocol
        try:
            while not protocol.has_ended and (chunk := await self._stream.read()):
                for body in self._frames.feed_data(chunk):
                    await self._receive(body)
                    if protocol.has_ended:
                        break
        except FramingError as error:
            logger.error("%s: %s The connection is closed.", self._stream.name, error)
        finally:
            is_regular_end = protocol.lifecycle is Lifecycle.SHUT_DOWN or protocol.exit_code == 0
            protocol.lifecycle = Lifecycle.ENDED
            self._session.close()
            await self._stream.close()
        return 0 if is_regular_end else 1

    async def _receive(self, body: bytes) -> None:
        protocol = self._session.protocol
        try:
            message = parse_body(body)
        except TooManyValues as error:
            protocol.refuse(error.head, str(error))
            return
        except ValueError:
            logger.warning("%s: a message of %d bytes is not JSON", self._stream.name, len(body))
            protocol.reject_invalid_json()
            return
        with self._observe(message):
            has_task = protocol.receive(message, len(body))
        if has_task:
            await asyncio.sleep(0)  # the request's task runs to its first await now
