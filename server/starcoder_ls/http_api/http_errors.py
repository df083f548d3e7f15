"""Errors as HTTP responses with OpenAI's error object, which clients of both APIs show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

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
_MAX_PATH_CHARS = 100
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
        return HttpError(400, " ".join(_describe(detail) for detail in error.errors(include_url=False)))
    for kind, status in _STATUS:
        if isinstance(error, kind):
            retry_after_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
            return HttpError(status, str(error), {"Retry-After": f"{retry_after_s:.0f}"} if status == 503 else None)
    if isinstance(error, StarcoderError):
        return HttpError(500, str(error))
    return HttpError(500, "An internal error occurred; `starcoder-ls logs` has the details.")


def route_errors(routes: Sequence[Route]) -> dict[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """The exception handlers of an application that has ``routes``: for a path or a method that it does not have."""
    paths = ", ".join(route.path for route in routes)

    async def respond(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, allowed = request.url.path[:_MAX_PATH_CHARS], (error.headers or {}).get("Allow", "")
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return error_response(HttpError(405, f"{path} takes {allowed}, not {request.method}.", {"Allow": allowed}))
        if error.status_code == HTTPStatus.NOT_FOUND:
            return error_response(HttpError(404, f"There is no {path} here. There are {paths}."))
        return error_response(HttpError(error.status_code, error.detail))

    return {HTTPException: respond}


def _describe(detail: Mapping[str, Any]) -> str:
    """A sentence for what is wrong with a body."""
    name, reason, context = ".".join(map(str, detail["loc"])), str(detail["msg"]), detail.get("ctx") or {}
    match detail["type"]:
        case "json_invalid":
            return f"The body is not JSON: {context.get('error', reason)}."
        case "missing":
            return f"`{name}` is missing."
        case "extra_forbidden":
            return f"`{name}` is not allowed."
        case "literal_error":
            return f"`{name}` can only be {str(context.get('expected', '')).replace('False', 'false')}."
    if not name:
        return "The body must be a JSON object."
    reason = reason.removeprefix("Value error, ")
    return f"`{name}`: {reason[:1].lower()}{reason[1:].rstrip('.')}."
