"""A request of the client that is being answered. It gets exactly one response: the first one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lsprotocol.types import LSPErrorCodes

from starcoder_ls.cancel_flag import CancelFlag

RequestId = int | str
Send = Callable[[dict[str, object]], None]


class ResponseError(Exception):
    """An error response: a code of JSON-RPC or LSP, and one sentence without source text or paths."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message


class RequestHandle:
    """A request that is being answered.

    The engine checks ``cancel`` before each step. ``superseded_error`` is the response of a request that
    ``cancel_as_superseded`` ends; None means the result null. ``size_bytes`` is what the request counts as while it
    runs.
    """

    __slots__ = ("_send", "cancel", "id", "is_answered", "size_bytes", "superseded_error", "task")

    def __init__(self, request_id: RequestId, send: Send, size_bytes: int = 0) -> None:
        self.id = request_id
        self.size_bytes = size_bytes
        self.cancel = CancelFlag()
        self.is_answered = False
        self.superseded_error: ResponseError | None = None
        self.task: asyncio.Task[None] | None = None
        self._send = send

    def respond(self, result: object) -> None:
        """Send ``result`` unless a response was sent before."""
        if not self.is_answered:
            self._send({"jsonrpc": "2.0", "id": self.id, "result": result})
            self.is_answered = True

    def respond_error(self, code: int, message: str) -> None:
        """Send an error unless a response was sent before."""
        if not self.is_answered:
            error = {"code": int(code), "message": message}
            self._send({"jsonrpc": "2.0", "id": self.id, "error": error})
            self.is_answered = True

    def cancel_as_superseded(self) -> None:
        """A newer request or a change of the document made the result useless: respond and stop the work."""
        if self.superseded_error is None:
            self.respond(None)
        else:
            self.respond_error(self.superseded_error.code, self.superseded_error.message)
        self._stop()

    def cancel_by_client(self) -> None:
        """The client cancelled the request, or is gone: respond and stop the work."""
        self.respond_error(LSPErrorCodes.RequestCancelled, "The request was cancelled.")
        self._stop()

    def _stop(self) -> None:
        self.cancel.set()
        if self.task is not None:
            self.task.cancel()
