"""One client's connection: bytes in, messages to its session, and the end of both.

Decides what ends a connection, and that nothing a client sends ends more than its own. Refuses to know methods and
what the stream is made of.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from typing import NoReturn, Protocol

from lsprotocol.types import ErrorCodes

from starcoder_ls.lsp.framing import FrameReader, FramingError, frame
from starcoder_ls.lsp.protocol import Stage
from starcoder_ls.session.session import Session

logger = logging.getLogger(__name__)

MAX_UNSENT_BYTES = 16 * 1024 * 1024


class Stream(Protocol):
    """Bytes from and to one client."""

    name: str

    async def read(self) -> bytes:
        """The next bytes; none once the client is gone or ``hang_up`` was called."""
        ...

    def write(self, data: bytes) -> None:
        """Queue ``data``, never blocking; hang up when more than MAX_UNSENT_BYTES wait to be read."""
        ...

    def hang_up(self) -> None:
        """End it; what is queued may be lost."""
        ...

    async def close(self) -> None:
        """Give what is queued a moment to leave, then end it."""
        ...


class Connection:
    """A session on a stream. With a ``token``, ``initialize`` must bring it as ``initializationOptions.token``."""

    def __init__(self, session: Session, stream: Stream, token: str | None = None) -> None:
        self._session = session
        self._stream = stream
        self._token = token
        self._frames = FrameReader()
        self.is_admitted = token is None
        session.protocol.send = lambda body: stream.write(frame(body))

    async def run(self) -> int:
        """Serve until the client leaves. 0 if it left as it should, else 1."""
        protocol = self._session.protocol
        try:
            while not protocol.has_ended and (chunk := await self._stream.read()):
                for body in self._frames.feed(chunk):
                    await self._receive(body)
                    if protocol.has_ended:
                        break
        except FramingError as error:
            logger.error("%s: %s The connection is closed.", self._stream.name, error)
        finally:
            has_left_well = protocol.stage is Stage.SHUT_DOWN or protocol.exit_code == 0
            protocol.stage = Stage.ENDED
            self._session.close()
            await self._stream.close()
        return 0 if has_left_well else 1

    async def _receive(self, body: bytes) -> None:
        protocol = self._session.protocol
        try:
            message = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            logger.warning("%s: a message of %d bytes is not JSON", self._stream.name, len(body))
            protocol.refuse_unreadable()
            return
        if not self.is_admitted and not self._admit(message):
            return
        if protocol.receive(message):
            await asyncio.sleep(0)  # the request's own task takes its first step now

    def _admit(self, message: object) -> bool:
        """Look for the token in ``initialize``; False if the message was answered here."""
        if not isinstance(message, dict) or message.get("method") != "initialize":
            return True  # the session refuses it: it is not initialized
        params = message.get("params")
        options = params.get("initializationOptions") if isinstance(params, dict) else None
        given = options.pop("token", None) if isinstance(options, dict) else None
        expected = (self._token or "").encode()
        if isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "replace"), expected):
            self.is_admitted = True
            return True
        logger.warning("%s: refused, its token is wrong or missing", self._stream.name)
        wrong = "Send the content of this server's token file as initializationOptions.token."
        reply = {"code": ErrorCodes.InvalidRequest.value, "message": wrong}
        body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": reply})
        self._stream.write(frame(body.encode()))
        self._session.protocol.stage = Stage.ENDED
        return False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
