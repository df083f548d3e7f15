"""Clients of the TCP port that have not shown the token yet: what they may send, how many may wait, and for how long.

Such a client costs a socket and at most two small frames of memory; a session is created for it afterwards.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from typing import Any

from lsprotocol.types import ErrorCodes

from starcoder_ls.lsp.connection import Stream
from starcoder_ls.lsp.framing import FrameReader, FramingError, frame
from starcoder_ls.lsp.json_body import parse_body
from starcoder_ls.lsp.protocol import error_response

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 64 * 1024
"""The largest ``initialize`` of an editor has 20 KB."""

MAX_MESSAGES = 8
TIMEOUT_S = 10.0
MAX_PENDING = 32

_TOKEN_HINT = "Send the content of this server's token file as initializationOptions.token."


class PendingClients:
    """The connections that are not authenticated. There is always room for one more: the oldest is closed for it.

    An owner, who sends the token at once, therefore connects however many silent strangers there are.
    """

    def __init__(self, token: str, max_pending: int = MAX_PENDING) -> None:
        self._token, self._max_pending = token, max_pending
        self._streams: dict[Stream, None] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._streams)

    async def authenticate(self, stream: Stream) -> bytes | None:
        """The ``initialize`` of a client with the token, without it, and what follows, as bytes of frames.

        None if the client sends no valid token in time, sends too much, or must give way; it is disconnected then.
        """
        if len(self._streams) >= self._max_pending:
            oldest = next(iter(self._streams))
            logger.warning("%s: closed, too many clients have sent no token", oldest.name)
            del self._streams[oldest]
            oldest.abort()
        self._streams[stream] = None
        received: bytes | None = None
        try:
            received = await asyncio.wait_for(self._read_initialize(stream), TIMEOUT_S)
        except TimeoutError:
            logger.warning("%s: closed, no initialize within %d s", stream.name, TIMEOUT_S)
        except FramingError as error:
            logger.error("%s: %s The connection is closed.", stream.name, error)
        finally:
            self._streams.pop(stream, None)
            if received is None:
                await stream.close()
        return received

    async def _read_initialize(self, stream: Stream) -> bytes | None:
        frames, messages = FrameReader(MAX_FRAME_BYTES), 0
        while chunk := await stream.read():
            for body in frames.feed_data(chunk):
                messages += 1
                try:
                    message = parse_body(body)
                except ValueError:
                    message = None
                if isinstance(message, dict) and message.get("method") == "initialize":
                    return self._check_token(stream, message, frames.take_remainder())
                stream.write(frame(json.dumps(_rejection(message)).encode()))
                if messages == MAX_MESSAGES:
                    logger.warning("%s: closed, %d messages and no initialize", stream.name, messages)
                    return None
        return None

    def _check_token(self, stream: Stream, message: dict[str, Any], rest: bytes) -> bytes | None:
        params = message.get("params")
        options = params.get("initializationOptions") if isinstance(params, dict) else None
        token = options.pop("token", None) if isinstance(options, dict) else None
        if isinstance(token, str) and hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            return frame(json.dumps(message).encode()) + rest
        logger.warning("%s: client rejected, its token is wrong or missing", stream.name)
        response = error_response(_id_of(message), ErrorCodes.InvalidRequest, _TOKEN_HINT)
        stream.write(frame(json.dumps(response).encode()))
        return None


def _rejection(message: object) -> dict[str, object]:
    return error_response(_id_of(message), ErrorCodes.ServerNotInitialized, "Send initialize with the token first.")


def _id_of(message: object) -> int | str | None:
    request_id = message.get("id") if isinstance(message, dict) else None
    return request_id if isinstance(request_id, (int, str)) else None
