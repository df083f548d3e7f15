"""Errors as HTTP responses with OpenAI's error object, which clients of both APIs show."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from starlette.responses import JSONResponse

from starcoder_ls.errors import (
    EngineBusy,
    EngineClosed,
    EngineNotReady,
    EngineUnreachable,
    ModelNotFound,
    ModelUnsupported,
    OutOfMemory,
    PromptTooLong,
    StarcoderError,
)

RETRY_AFTER_S = 1
_STATUS: tuple[tuple[type[StarcoderError], int], ...] = (
    (ModelNotFound, 404),
    (PromptTooLong, 400),
    (ModelUnsupported, 400),
    (EngineBusy, 503),
    (EngineNotReady, 503),
    (EngineClosed, 503),
    (EngineUnreachable, 503),
    (OutOfMemory, 503),
)


class HttpError(Exception):
    """A request that is answered with ``status`` and a message for the user of the client."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


def error_object(status: int, message: str) -> dict[str, object]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": status}}


def error_response(error: HttpError) -> JSONResponse:
    return JSONResponse(error_object(error.status, str(error)), error.status, error.headers)


def http_error_of(error: Exception) -> HttpError:
    """The response to an exception; one that is not ours gives 500 without its message, which may contain code."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, ValidationError):
        return HttpError(400, "; ".join(_describe(detail) for detail in error.errors(include_url=False)))
    for kind, status in _STATUS:
        if isinstance(error, kind):
            retry_after_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
            return HttpError(status, str(error), {"Retry-After": f"{retry_after_s:.0f}"} if status == 503 else None)
    if isinstance(error, StarcoderError):
        return HttpError(500, str(error))
    return HttpError(500, "An internal error occurred; `starcoder-ls logs` has the details.")


def _describe(detail: Mapping[str, object]) -> str:
    location = detail["loc"]
    assert isinstance(location, tuple)
    return f"{'.'.join(map(str, location))}: {detail['msg']}" if location else str(detail["msg"])
