"""Reads the body of a request up to a limit, whatever length the client announces."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from starcoder_ls.http_api.disconnect import ClientGone
from starcoder_ls.http_api.http_errors import HttpError


async def read_body(request: HttpRequest, max_bytes: int) -> bytes:
    """Raises HttpError (413) for a larger body, and ClientGone."""
    too_large = HttpError(413, f"The body of a request may have at most {max_bytes / 1024:,.0f} KB.")
    if (length := request.headers.get("content-length", "")).isdigit() and int(length) > max_bytes:
        raise too_large
    received = bytearray()
    try:
        async for part in request.stream():
            received += part
            if len(received) > max_bytes:
                raise too_large
    except ClientDisconnect as error:
        raise ClientGone from error
    return bytes(received)
