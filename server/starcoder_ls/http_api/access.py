"""Who may use the API: programs of this user that know the token. Decided before a request's body is read.

Web pages must not reach it: requests with an ``Origin``, or that name another host (DNS rebinding), are refused.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from starcoder_ls.http_api.http_errors import HttpError, error_response

_LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
_PUBLIC_PATHS = ("/health",)


class AccessControl:
    """ASGI middleware. ``token`` is compared in constant time with that of ``Authorization: Bearer``.
    ``is_local_only``: requests must name this machine as host."""

    def __init__(self, app: ASGIApp, token: str, is_local_only: bool = True) -> None:
        self._app, self._token, self._is_local_only = app, token.encode(), is_local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(Headers(scope=scope), scope["path"])
            except HttpError as error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers, path: str) -> None:
        """Raises HttpError."""
        if self._is_local_only and _host_name(headers.get("host", "")) not in _LOCAL_NAMES:
            raise HttpError(403, "Requests must name this machine as localhost or 127.0.0.1.")
        if "origin" in headers:
            raise HttpError(403, "Web pages may not use this server.")
        if path not in _PUBLIC_PATHS:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                raise HttpError(
                    401,
                    "The API key is missing or wrong. It is in the file that the server printed when it started.",
                    {"WWW-Authenticate": "Bearer"},
                )


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
