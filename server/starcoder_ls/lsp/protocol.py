"""The rules of JSON-RPC and of LSP's life cycle for one client.

Decides which messages are answered at all, by whom, and that each request gets exactly one answer. Refuses to know
what a method means and how bytes travel.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lsprotocol.types import ErrorCodes
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol

from starcoder_ls.lsp.converter import structured
from starcoder_ls.lsp.request_handle import RequestHandle, RequestId, ResponseError

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """Who answers a method. ``params`` None hands them over as the JSON they came as.

    The answering coroutine runs to its first await before the next message is looked at: until there it sees the
    documents as they were when the client asked.
    """

    answer: Callable[[Session, Any, RequestHandle], Awaitable[object]]
    params: type[Any] | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """Who takes note. A plain function, so that changes apply in the order they were sent; it must be quick.

    ``unreadable`` is told the raw params when they do not fit ``params``.
    """

    note: Callable[[Session, Any], None]
    params: type[Any] | None = None
    unreadable: Callable[[Session, object], None] | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    requests: Mapping[str, Request]
    notifications: Mapping[str, Notification]


class Stage(enum.Enum):
    """Where a client is in its life."""

    NEW = "new"
    RUNNING = "running"
    SHUT_DOWN = "shut down"
    ENDED = "ended"


class Protocol(LanguageServerProtocol):
    """pygls' protocol with its way in replaced; its way out (``notify``, ``send_request``) is used as it is."""

    _server: Session

    def __init__(self, server: Session, converter_: Any) -> None:
        super().__init__(server, converter_)
        self.stage = Stage.NEW
        self.exit_code: int | None = None
        self.send: Callable[[bytes], None] = _nowhere
        self._calls: dict[RequestId, RequestHandle] = {}

    def _register_builtin_features(self) -> None:
        """None: every method is in our own table, and pygls' ``exit`` would end the process."""

    @property
    def has_ended(self) -> bool:
        return self.stage is Stage.ENDED

    def receive(self, message: object) -> bool:
        """Handle one parsed message. True if a request began to run: then give it a turn before the next message."""
        if not isinstance(message, dict):
            is_batch = isinstance(message, list)
            self._refuse(None, "Batches are not part of LSP." if is_batch else "A message must be an object.")
            return False
        given_id, method = message.get("id"), message.get("method")
        is_id_valid = isinstance(given_id, (int, str)) and not isinstance(given_id, bool)
        request_id: RequestId | None = given_id if is_id_valid else None
        if "method" not in message and ("result" in message or "error" in message):
            self._response(request_id, message)
            return False
        is_id_bad = "id" in message and request_id is None
        if message.get("jsonrpc") != "2.0" or not isinstance(method, str) or is_id_bad:
            self._refuse(request_id, 'A message needs jsonrpc "2.0", a method, and an id that is string or integer.')
            return False
        if request_id is not None:
            return self._request(request_id, method, message.get("params"))
        self._notification(method, message.get("params"))
        return False

    def refuse_unreadable(self) -> None:
        """Answer a body that is not JSON."""
        self._reply(_error(None, ErrorCodes.ParseError, "The message is not JSON in UTF-8."))

    def end_calls(self, but: RequestHandle | None = None) -> None:
        """Cancel every request in flight, each with its answer."""
        for call in list(self._calls.values()):
            if call is not but:
                call.cancel_by_client()

    def disconnect(self) -> None:
        """The client is gone: end its requests, and give up ours to it."""
        self.end_calls()
        self.send = _nowhere
        for future in self._request_futures.values():
            future.cancel()
        self._request_futures.clear()

    def _request(self, request_id: RequestId, method: str, raw: object) -> bool:
        try:
            if request_id in self._calls and not self._calls[request_id].is_answered:
                raise ResponseError(ErrorCodes.InvalidRequest, "A request with this id is still running.")
            self._check_stage(method)
            route = self._server.routes.requests.get(method)
            if route is None:
                raise ResponseError(ErrorCodes.MethodNotFound, f"There is no method {method[:100]!r} here.")
            params = raw if route.params is None else structured(raw, route.params)
        except ResponseError as refusal:
            logger.info("request %s refused: %s", _brief(request_id), refusal.message)
            self._reply(_error(request_id, refusal.code, refusal.message))
            return False
        call = self._calls[request_id] = RequestHandle(request_id, self._reply)
        call.task = asyncio.get_running_loop().create_task(self._run(call, method, route, params))
        call.task.add_done_callback(lambda _: self._forget(call))
        return True

    def _forget(self, call: RequestHandle) -> None:
        if self._calls.get(call.id) is call:
            del self._calls[call.id]

    def _check_stage(self, method: str) -> None:
        if self.stage is Stage.NEW and method != "initialize":
            raise ResponseError(ErrorCodes.ServerNotInitialized, "Send initialize first.")
        if self.stage is Stage.RUNNING and method == "initialize":
            raise ResponseError(ErrorCodes.InvalidRequest, "initialize was sent before.")
        if self.stage in (Stage.SHUT_DOWN, Stage.ENDED):
            raise ResponseError(ErrorCodes.InvalidRequest, "The session was shut down.")

    async def _run(self, call: RequestHandle, method: str, route: Request, params: Any) -> None:
        try:
            if method == "shutdown":
                self.end_calls(but=call)
            result = await route.answer(self._server, params, call)
            self.stage = {"initialize": Stage.RUNNING, "shutdown": Stage.SHUT_DOWN}.get(method, self.stage)
            call.answer(result)
        except ResponseError as refusal:
            call.refuse(refusal.code, refusal.message)
        except asyncio.CancelledError:
            call.cancel_by_client()
            raise
        finally:
            call.refuse(ErrorCodes.InternalError, "The answer could not be sent.")  # unless there was one
            call.cancel.set()

    def _notification(self, method: str, raw: object) -> None:
        if method == "exit":
            self.exit_code = 0 if self.stage is Stage.SHUT_DOWN else 1
            self.stage = Stage.ENDED
            self.end_calls()
        elif method == "$/cancelRequest":
            wanted = raw.get("id") if isinstance(raw, dict) else None
            if isinstance(wanted, (int, str)) and (call := self._calls.get(wanted)):
                call.cancel_by_client()
        elif self.stage is Stage.RUNNING and (route := self._server.routes.notifications.get(method)):
            try:
                params = raw if route.params is None else structured(raw, route.params)
            except ResponseError as refusal:
                logger.warning("%s ignored: %s", method, refusal.message)
                if route.unreadable:
                    route.unreadable(self._server, raw)
                return
            route.note(self._server, params)

    def _response(self, request_id: RequestId | None, message: Mapping[str, Any]) -> None:
        """The client answers a request of ours. One that we gave up has no waiter left (pygls #621)."""
        future = self._request_futures.pop(request_id, None) if request_id is not None else None
        kind = self._result_types.pop(request_id, None) if request_id is not None else None
        if future is None or not future.set_running_or_notify_cancel():
            return
        error = message.get("error")
        if error is not None:
            text = str(error.get("message", "")) if isinstance(error, dict) else ""
            future.set_exception(JsonRpcException(message=text[:500]))
            return
        try:
            future.set_result(structured(dict(message), kind).result if kind else message.get("result"))
        except ResponseError as refusal:
            future.set_exception(refusal)

    def _refuse(self, request_id: RequestId | None, message: str) -> None:
        logger.warning("message refused: %s", message)
        self._reply(_error(request_id, ErrorCodes.InvalidRequest, message))

    def _reply(self, message: dict[str, object]) -> None:
        self._send_data(message)

    def _send_data(self, data: Any) -> None:
        """pygls' one way out; unlike pygls', it logs no bodies."""
        self.send(json.dumps(data, default=self._serialize_message, separators=(",", ":")).encode())


def _nowhere(_: bytes) -> None:
    """Where messages go before a connection is there."""


def _error(request_id: RequestId | None, code: int, message: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": int(code), "message": message}}


def _brief(request_id: RequestId) -> str:
    return repr(request_id)[:40]
