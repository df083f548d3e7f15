"""The gateway's routes: three for clients, and the metrics, which need no token and are served on another port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from starcoder_ls.gateway.gateway_settings import GatewaySettings
from starcoder_ls.gateway.metrics import Metrics
from starcoder_ls.gateway.proxy import ProxiedRequest, no_replica
from starcoder_ls.gateway.replicas import Replicas, checked_replicas
from starcoder_ls.gateway.request_policy import Limits, checked_body
from starcoder_ls.gateway.user_limits import UserLimits
from starcoder_ls.gateway.users import Users, salt_of, session_of
from starcoder_ls.http_api.disconnect import ClientGone
from starcoder_ls.http_api.http_errors import HttpError, error_response, route_errors
from starcoder_ls.http_api.request_body import read_body

_Handler = Callable[[HttpRequest, Receive, Send], Awaitable[None]]

COMPLETIONS, MODELS, HEALTH = "/v1/completions", "/v1/models", "/health"
_MAX_SESSION_CHARS = 200


@dataclass(slots=True)
class Gateway:
    """``site_secret`` makes the cache salts of the users."""

    settings: GatewaySettings
    users: Users
    replicas: Replicas
    site_secret: bytes
    metrics: Metrics
    limits: UserLimits

    @classmethod
    def create(cls, settings: GatewaySettings, users: Users, replicas: Replicas, site_secret: bytes) -> Gateway:
        limits = UserLimits(settings.requests_per_minute, settings.concurrent_requests)
        return cls(settings, users, replicas, site_secret, Metrics(), limits)

    def application(self) -> ASGIApp:
        """The routes for clients. Health checks run while it is served; the connections are closed at its end."""

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            async with checked_replicas(self.replicas, self.settings.health_interval_s):
                yield

        routes = [
            Route(COMPLETIONS, _Endpoint(self, self._complete), methods=["POST"]),
            Route(MODELS, _Endpoint(self, self._models), methods=["GET"]),
            Route(HEALTH, _Endpoint(self, self._health), methods=["GET"]),
        ]
        return Starlette(lifespan=lifespan, routes=routes, exception_handlers=route_errors(routes))

    def metrics_application(self) -> ASGIApp:
        """``/metrics``, for a port that only the monitoring can reach."""

        async def respond(_request: HttpRequest) -> Response:
            for replica in self.replicas:
                self.metrics.load.labels(replica.url).set(replica.load)
                self.metrics.healthy.labels(replica.url).set(replica.is_healthy)
            return PlainTextResponse(self.metrics.text())

        return Starlette(routes=[Route("/metrics", respond)])

    def user_of(self, request: HttpRequest) -> str:
        """Raises HttpError (401)."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        user = self.users.find(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise HttpError(401, "The token is missing or not known here.", {"WWW-Authenticate": "Bearer"})
        return user

    async def _complete(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        user = self.user_of(request)
        data = await read_body(request, self.settings.max_body_bytes)
        limits = Limits(self.settings.max_prompt_tokens, self.settings.max_new_tokens, self.settings.max_candidates)
        content, body = checked_body(data, limits, salt_of(self.site_secret, user))
        session = request.headers.get("x-session-id", "")[:_MAX_SESSION_CHARS]
        with self.limits.admit(user):
            replicas = self.replicas.candidates(f"{user}\n{session}")
            proxied = ProxiedRequest(
                replicas, COMPLETIONS, content, session_of(self.site_secret, user, session), len(body.prompt),
                self.metrics,
            )  # fmt: skip
            await proxied(request.scope, receive, send)

    async def _models(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        user = self.user_of(request)
        for replica in self.replicas.candidates(user):
            try:
                answer = await replica.client.get(MODELS)
            except (httpx2.HTTPError, OSError):
                continue
            response = Response(answer.content, answer.status_code, media_type="application/json")
            await response(request.scope, receive, send)
            return
        raise no_replica()

    async def _health(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        healthy = sum(replica.is_healthy for replica in self.replicas)
        status = 200 if healthy else 503
        await JSONResponse({"healthy_replicas": healthy}, status)(request.scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Answers with errors as JSON and counts requests by status."""

    gateway: Gateway
    handler: _Handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent_status: list[int] = []

        async def watched_send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                sent_status.append(message["status"])
            await send(message)

        try:
            await self.handler(HttpRequest(scope, receive), receive, watched_send)
        except HttpError as error:
            if sent_status:
                raise
            await error_response(error)(scope, receive, watched_send)
        except ClientGone:  # while it sent its request
            self.gateway.metrics.aborted.inc()
        finally:
            status = sent_status[0] if sent_status else 499  # the client left first
            self.gateway.metrics.requests.labels(scope["path"], status).inc()
