"""One request of a client, from its arrival to its one answer.

Decides that the first answer wins and what ends the work behind it. Refuses to know methods and transports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lsprotocol.types import LSPErrorCodes

from starcoder_ls.generation import CancelFlag

RequestId = int | str
Reply = Callable[[dict[str, object]], None]


class ResponseError(Exception):
    """An answer that is an error: a code of JSON-RPC or LSP, and one sentence without source text or paths."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = int(code)
        self.message = message


class RequestHandle:
    """A request being answered. ``cancel`` is what the engine looks at before each step.

    ``if_withdrawn`` is the answer when nobody needs the result any more; None is the result null.
    """

    __slots__ = ("_reply", "cancel", "id", "if_withdrawn", "is_answered", "task")

    def __init__(self, request_id: RequestId, reply: Reply) -> None:
        self.id = request_id
        self.cancel = CancelFlag()
        self.is_answered = False
        self.if_withdrawn: ResponseError | None = None
        self.task: asyncio.Task[None] | None = None
        self._reply = reply

    def answer(self, result: object) -> None:
        """Send ``result`` unless an answer was sent before."""
        if not self.is_answered:
            self._reply({"jsonrpc": "2.0", "id": self.id, "result": result})
            self.is_answered = True

    def refuse(self, code: int, message: str) -> None:
        """Send an error unless an answer was sent before."""
        if not self.is_answered:
            error = {"code": int(code), "message": message}
            self._reply({"jsonrpc": "2.0", "id": self.id, "error": error})
            self.is_answered = True

    def withdraw(self) -> None:
        """Nobody needs the result any more: say so and stop the work."""
        if self.if_withdrawn is None:
            self.answer(None)
        else:
            self.refuse(self.if_withdrawn.code, self.if_withdrawn.message)
        self._stop()

    def cancel_by_client(self) -> None:
        self.refuse(LSPErrorCodes.RequestCancelled, "The request was cancelled.")
        self._stop()

    def _stop(self) -> None:
        self.cancel.set()
        if self.task is not None:
            self.task.cancel()
