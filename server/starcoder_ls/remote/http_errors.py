"""What a server's status code or a broken connection means: the error that the user gets, and what it says about the
server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import httpx2

from starcoder_ls.errors import EngineBusy, EngineError, EngineNotReady, EngineUnreachable, PromptTooLong
from starcoder_ls.json_files import printable

MAX_BODY_CHARS = 2000
DEFAULT_RETRY_S = 1.0

_TOO_LONG = re.compile(r"context|maximum.*(?:length|tokens)|too (?:long|large)|exceed", re.IGNORECASE)
_UNAUTHORIZED, _BUSY, _TOO_LARGE, _NOT_FOUND, _BAD_REQUEST = (401, 403), (429, 503), 413, 404, (400, 422)


def error_of_response(status: int, body: str, headers: Mapping[str, str], host: str) -> EngineError:
    """The error for a response other than 200. ``body`` is quoted shortened and without control characters."""
    text = _message_in(body)
    if status in _UNAUTHORIZED:
        return EngineNotReady(f"{host} refuses the token. Correct `remote.token_file`.")
    if status in _BUSY:
        return EngineBusy(f"{host} is busy ({status}).", _retry_after_s(headers))
    if status == _TOO_LARGE or (status in _BAD_REQUEST and _TOO_LONG.search(text)):
        return PromptTooLong(f"The prompt is too long for {host}: {text or status}. Lower the prompt's limits.")
    if status == _NOT_FOUND:
        return EngineNotReady(f"{host} does not have this model or path: {text or status}. Correct `remote.model`.")
    if status >= 500:
        return EngineUnreachable(f"{host} failed ({status}): {text or 'no reason given'}.")
    return EngineError(f"{host} refused the request ({status}): {text or 'no reason given'}.")


def error_of_transport(error: httpx2.HTTPError | OSError, host: str) -> EngineUnreachable:
    """The error for a connection that could not be made or broke."""
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        reason = "no connection within the time limit"
    elif isinstance(error, httpx2.TimeoutException):
        reason = "it sends nothing"
    else:
        reason = printable(str(error) or type(error).__name__, 200)
    return EngineUnreachable(f"{host} cannot be reached: {reason}. Check `remote.url` and the server.")


def _message_in(body: str) -> str:
    """The message of an error in the form of OpenAI's API, or the text itself."""
    text = body[:MAX_BODY_CHARS]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        error = value.get("error", value)
        text = str(error.get("message", "")) if isinstance(error, dict) else str(error)
    return printable(" ".join(text.split()).rstrip("."), 200)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """The seconds in Retry-After; a date in it counts as the default."""
    value = headers.get("retry-after", "")
    return float(value) if re.fullmatch(r"\d{1,6}(\.\d+)?", value) else DEFAULT_RETRY_S
