"""The only module that uses private parts of pygls.

pygls encodes outgoing notifications and requests and keeps the futures of pending requests. Receiving is replaced by
``protocol.LspProtocol``: pygls ends the process on ``exit``, logs message bodies and responds after cancellation.
"""

from __future__ import annotations

import json
import linecache
import logging
from collections.abc import Callable, Mapping
from typing import Any

from lsprotocol.types import LSPErrorCodes
from pygls.protocol import LanguageServerProtocol

from starcoder_ls.lsp.converter import structure
from starcoder_ls.lsp.request_handle import RequestId, ResponseError

logging.getLogger("pygls").setLevel(logging.WARNING)  # at INFO it logs whole messages: source code
linecache.clearcache()  # attrs keeps the source that it generates for lsprotocol's 400 classes there: 1.7 MB

_MAX_ERROR_CHARS = 500
_MAX_PENDING = 256
"""Requests to a client that does not answer them; the oldest are cancelled."""


def discard(_: bytes) -> None:
    """Where messages go while there is no connection."""


class PyglsProtocol(LanguageServerProtocol):
    """The sending half of pygls' protocol. ``write`` takes each encoded message."""

    def __init__(self, server: Any, converter: Any) -> None:
        super().__init__(server, converter)
        self.write: Callable[[bytes], None] = discard
        self._encoder = json.JSONEncoder(default=self._serialize_message, separators=(",", ":"))

    def send(self, message: Mapping[str, Any]) -> None:
        """Encode ``message``, whose values may be lsprotocol types, and write it."""
        self._send_data(message)

    def send_request(self, *args: Any, **kwargs: Any) -> Any:
        """As in pygls, which keeps each request until it is answered."""
        future = super().send_request(*args, **kwargs)
        while len(self._request_futures) > _MAX_PENDING:
            oldest = next(iter(self._request_futures))
            self._result_types.pop(oldest, None)
            self._request_futures.pop(oldest).cancel()
        return future

    def resolve_request(self, request_id: RequestId | None, response: Mapping[str, Any]) -> None:
        """Complete the pending request that ``response`` answers; ignored if there is none (pygls #621).

        An error response makes the request raise ResponseError, and so does a result of the wrong type.
        """
        if request_id is None:
            return
        future, result_type = self._request_futures.pop(request_id, None), self._result_types.pop(request_id, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        error = response.get("error")
        if error is not None:
            future.set_exception(_response_error(error))
            return
        try:
            result = structure(dict(response), result_type).result if result_type else response.get("result")
        except ResponseError as invalid:
            future.set_exception(invalid)
        else:
            future.set_result(result)

    def disconnect(self) -> None:
        """Discard further messages and cancel pending requests."""
        self.write = discard
        for future in self._request_futures.values():
            future.cancel()
        self._request_futures.clear()
        self._result_types.clear()

    def _register_builtin_features(self) -> None:
        """Register none: all methods are in ``app``."""

    def _send_data(self, data: Any) -> None:
        """All of pygls' output passes here; unlike the original, this logs no bodies."""
        self.write(self._encoder.encode(data).encode())


def _response_error(error: object) -> ResponseError:
    """The client's error, as far as it is well-formed."""
    fields = error if isinstance(error, dict) else {}
    code, message = fields.get("code"), str(fields.get("message", ""))
    return ResponseError(code if isinstance(code, int) else LSPErrorCodes.RequestFailed, message[:_MAX_ERROR_CHARS])
