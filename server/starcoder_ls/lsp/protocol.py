"""Incoming messages of one client: JSON-RPC validation, LSP's life cycle, and dispatch to handlers.

Decides which messages get a response, and that each request gets exactly one.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lsprotocol.types import ErrorCodes

from starcoder_ls.lsp.converter import structure
from starcoder_ls.lsp.pygls_compat import PyglsProtocol
from starcoder_ls.lsp.request_handle import RequestHandle, RequestId, ResponseError

logger = logging.getLogger(__name__)

SessionT = TypeVar("SessionT")

_MAX_METHOD_CHARS, _MAX_ID_CHARS = 100, 40

MAX_OPEN_BYTES = 64 * 1024 * 1024
"""Of the requests of a client that run at the same time: of their messages, and REQUEST_BYTES for each."""

REQUEST_BYTES = 8 * 1024
"""What Python's objects for a running request take beside its message."""


@dataclass(frozen=True, slots=True)
class RequestHandler(Generic[SessionT]):
    """Handles the requests of one method. With ``params`` None the handler gets the params as parsed JSON.

    The coroutine runs to its first await before the next message is processed: until there it sees the documents as
    they were when the client sent the request.
    """

    handle: Callable[[SessionT, Any, RequestHandle], Awaitable[object]]
    params: type[Any] | None = None


@dataclass(frozen=True, slots=True)
class NotificationHandler(Generic[SessionT]):
    """Handles the notifications of one method: a plain function, so that changes apply in the order they were sent.

    It must be fast. ``handle_invalid`` gets the parsed JSON of params that do not fit ``params``.
    """

    handle: Callable[[SessionT, Any], None]
    params: type[Any] | None = None
    handle_invalid: Callable[[SessionT, object], None] | None = None


@dataclass(frozen=True, slots=True)
class Handlers(Generic[SessionT]):
    """Handlers by method."""

    requests: Mapping[str, RequestHandler[SessionT]]
    notifications: Mapping[str, NotificationHandler[SessionT]]


class Lifecycle(enum.Enum):
    """LSP's life cycle of a connection."""

    UNINITIALIZED = "uninitialized"
    RUNNING = "running"
    SHUT_DOWN = "shut down"
    ENDED = "ended"


class LspProtocol(Generic[SessionT]):
    """Dispatches the messages of one client to ``handlers``, which get ``session`` as their first argument."""

    def __init__(self, session: SessionT, handlers: Handlers[SessionT], output: PyglsProtocol) -> None:
        self._session = session
        self._handlers = handlers
        self._output = output
        self._requests: dict[RequestId, RequestHandle] = {}
        self._open_bytes = 0
        self.on_refused: Callable[[str], None] = lambda _: None
        """Called with one sentence for the user when a message was refused unread."""
        self.lifecycle = Lifecycle.UNINITIALIZED
        self.exit_code: int | None = None

    @property
    def has_ended(self) -> bool:
        return self.lifecycle is Lifecycle.ENDED

    def connect(self, write: Callable[[bytes], None]) -> None:
        """Send every message with ``write``, encoded but not framed."""
        self._output.write = write

    def disconnect(self) -> None:
        """The client is gone: cancel its requests, and those to it."""
        self.cancel_requests()
        self._output.disconnect()

    def receive(self, message: object, size_bytes: int = 0) -> bool:
        """Process one parsed message of ``size_bytes``.

        True if a request's task was created: let it run before the next message.
        """
        if not isinstance(message, dict):
            is_batch = isinstance(message, list)
            self._reject(None, "Batches are not part of LSP." if is_batch else "A message must be an object.")
            return False
        raw_id, method = message.get("id"), message.get("method")
        is_id_valid = isinstance(raw_id, (int, str)) and not isinstance(raw_id, bool)
        request_id: RequestId | None = raw_id if is_id_valid else None
        if "method" not in message and ("result" in message or "error" in message):
            self._output.resolve_request(request_id, message)
            return False
        is_id_invalid = "id" in message and request_id is None
        if message.get("jsonrpc") != "2.0" or not isinstance(method, str) or is_id_invalid:
            self._reject(request_id, 'A message needs jsonrpc "2.0", a method, and an id that is string or integer.')
            return False
        if request_id is not None:
            return self._on_request(request_id, method, message.get("params"), REQUEST_BYTES + size_bytes)
        self._on_notification(method, message.get("params"))
        return False

    def reject_invalid_json(self) -> None:
        """Respond to a body that is not JSON."""
        self._output.send(error_response(None, ErrorCodes.ParseError, "The message is not JSON in UTF-8."))

    def refuse(self, head: dict[str, Any], reason: str) -> None:
        """A message was not parsed because of ``reason``; ``head`` has its id and method if they are known.

        If it may have changed a document, the texts of all documents are unknown.
        """
        method = head.get("method")
        logger.warning("%s refused: %s", str(method)[:_MAX_METHOD_CHARS], reason)
        if "id" in head or method is None:
            self._output.send(error_response(head.get("id"), ErrorCodes.InvalidRequest, reason))
        self.on_refused(reason)
        for name, handler in self._handlers.notifications.items():
            if handler.handle_invalid and method in (None, name):
                handler.handle_invalid(self._session, None)

    def cancel_requests(self, except_for: RequestHandle | None = None) -> None:
        """Cancel every running request; each gets its response."""
        for request in list(self._requests.values()):
            if request is not except_for:
                request.cancel_by_client()

    def _on_request(self, request_id: RequestId, method: str, raw: object, size_bytes: int) -> bool:
        try:
            if request_id in self._requests and not self._requests[request_id].is_answered:
                raise ResponseError(ErrorCodes.InvalidRequest, "A request with this id is still running.")
            self._check_lifecycle(method)
            if self._open_bytes + size_bytes > MAX_OPEN_BYTES and method != "shutdown":
                raise ResponseError(ErrorCodes.InvalidRequest, "Too many requests are running. Cancel some.")
            handler = self._handlers.requests.get(method)
            if handler is None:
                name = method[:_MAX_METHOD_CHARS]
                raise ResponseError(ErrorCodes.MethodNotFound, f"This server has no method {name!r}.")
            params = raw if handler.params is None else structure(raw, handler.params)
        except ResponseError as error:
            logger.info("request %s rejected: %s", repr(request_id)[:_MAX_ID_CHARS], error.message)
            self._output.send(error_response(request_id, error.code, error.message))
            return False
        request = self._requests[request_id] = RequestHandle(request_id, self._output.send, size_bytes)
        self._open_bytes += size_bytes
        request.task = asyncio.get_running_loop().create_task(self._run(request, method, handler, params))
        request.task.add_done_callback(lambda _: self._forget(request))
        return True

    def _forget(self, request: RequestHandle) -> None:
        self._open_bytes -= request.size_bytes
        if self._requests.get(request.id) is request:
            del self._requests[request.id]

    def _check_lifecycle(self, method: str) -> None:
        if self.lifecycle is Lifecycle.UNINITIALIZED and method != "initialize":
            raise ResponseError(ErrorCodes.ServerNotInitialized, "Send initialize first.")
        if self.lifecycle is Lifecycle.RUNNING and method == "initialize":
            raise ResponseError(ErrorCodes.InvalidRequest, "initialize was sent before.")
        if self.lifecycle in (Lifecycle.SHUT_DOWN, Lifecycle.ENDED):
            raise ResponseError(ErrorCodes.InvalidRequest, "The session was shut down.")

    async def _run(self, request: RequestHandle, method: str, handler: RequestHandler[SessionT], params: Any) -> None:
        try:
            if method == "shutdown":
                self.cancel_requests(except_for=request)
            result = await handler.handle(self._session, params, request)
            after = {"initialize": Lifecycle.RUNNING, "shutdown": Lifecycle.SHUT_DOWN}
            self.lifecycle = after.get(method, self.lifecycle)
            request.respond(result)
        except ResponseError as error:
            request.respond_error(error.code, error.message)
        except asyncio.CancelledError:
            request.cancel_by_client()
            raise
        finally:
            request.respond_error(ErrorCodes.InternalError, "The response could not be sent.")  # unless one was
            request.cancel.set()

    def _on_notification(self, method: str, raw: object) -> None:
        if method == "exit":
            self.exit_code = 0 if self.lifecycle is Lifecycle.SHUT_DOWN else 1
            self.lifecycle = Lifecycle.ENDED
            self.cancel_requests()
        elif method == "$/cancelRequest":
            request_id = raw.get("id") if isinstance(raw, dict) else None
            if isinstance(request_id, (int, str)) and (request := self._requests.get(request_id)):
                request.cancel_by_client()
        elif self.lifecycle is Lifecycle.RUNNING and (handler := self._handlers.notifications.get(method)):
            try:
                params = raw if handler.params is None else structure(raw, handler.params)
            except ResponseError as error:
                logger.warning("%s ignored: %s", method, error.message)
                if handler.handle_invalid:
                    handler.handle_invalid(self._session, raw)
                return
            handler.handle(self._session, params)

    def _reject(self, request_id: RequestId | None, message: str) -> None:
        logger.warning("message rejected: %s", message)
        self._output.send(error_response(request_id, ErrorCodes.InvalidRequest, message))


def error_response(request_id: RequestId | None, code: int, message: str) -> dict[str, object]:
    """An error response as JSON-RPC defines it."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": int(code), "message": message}}
