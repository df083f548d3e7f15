"""The routes of the HTTP API, and the flow of one request: read, validate, generate, answer.

A request reads at most ``MAX_BODY_BYTES``. A request whose client disconnects is cancelled.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from starcoder_ls.errors import DeviceFailed, EngineClosed, EngineNotReady
from starcoder_ls.generation import Engine, Priority, Request
from starcoder_ls.http_api import completions_format, infill_format, token_completions
from starcoder_ls.http_api.access import AccessControl
from starcoder_ls.http_api.answers import AnswerStream
from starcoder_ls.http_api.bodies import CompletionsBody, InfillBody
from starcoder_ls.http_api.disconnect import ClientGone, run_while_connected
from starcoder_ls.http_api.engine_requests import completions_request, infill_request
from starcoder_ls.http_api.engine_source import EngineSource
from starcoder_ls.http_api.http_errors import HttpError, error_object, error_response, http_error_of, route_errors
from starcoder_ls.http_api.request_body import read_body
from starcoder_ls.http_api.server_sent_events import encode_event
from starcoder_ls.http_api.token_bodies import ReplicaCompletionsBody, has_token_ids
from starcoder_ls.settings import Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer

T = TypeVar("T")

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 << 20
_MAX_SESSION_CHARS = 100
_CLIENT_CLOSED_REQUEST = 499


def create_application(
    source: EngineSource,
    settings: Settings,
    token: str,
    read_tokenizer: Callable[[], Tokenizer] | None = None,
    is_local_only: bool = True,
) -> Starlette:
    """``read_tokenizer`` gives the tokenizer of the engine's model, from any thread; without it prompts of token ids
    are refused. ``is_local_only``: requests must name this machine, as on a loopback address."""
    api = HttpApi(source, settings, read_tokenizer)
    routes = [
        Route("/v1/completions", api.completions, methods=["POST"]),
        Route("/infill", api.infill, methods=["POST"]),
        Route("/v1/models", api.models),
        Route("/health", api.health),
    ]
    return Starlette(
        routes=routes,
        exception_handlers=route_errors(routes),
        middleware=[Middleware(AccessControl, token=token, is_local_only=is_local_only)],
    )


@dataclass(frozen=True, slots=True)
class HttpApi:
    """The handlers. They run on the server's event loop; prompts are tokenized on threads."""

    source: EngineSource
    settings: Settings
    read_tokenizer: Callable[[], Tokenizer] | None = None

    async def health(self, _request: HttpRequest) -> Response:
        try:
            self.source.ready_engine()
        except EngineNotReady as error:
            return error_response(http_error_of(error))
        return JSONResponse({"status": "ok"})

    async def models(self, _request: HttpRequest) -> Response:
        try:
            return JSONResponse(completions_format.models(self.source.ready_engine().status(), int(time.time())))
        except EngineNotReady as error:
            return error_response(http_error_of(error))

    async def completions(self, request: HttpRequest) -> Response:
        return await self._answer(request, self._complete_any)

    async def infill(self, request: HttpRequest) -> Response:
        return await self._answer(request, self._infill)

    async def _answer(
        self, request: HttpRequest, answer: Callable[[HttpRequest, bytes], Awaitable[Response]]
    ) -> Response:
        try:
            return await answer(request, await read_body(request, MAX_BODY_BYTES))
        except ClientGone:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)  # for the log: the client does not read it
        except Exception as error:  # noqa: BLE001  every request is answered
            return error_response(self._report(error))

    def _report(self, error: Exception) -> HttpError:
        response = http_error_of(error)
        if response.status == 500:
            logger.error("a request failed", exc_info=error)
        return response

    async def _complete_any(self, request: HttpRequest, data: bytes) -> Response:
        if has_token_ids(data):
            return await self._complete_tokens(request, ReplicaCompletionsBody.model_validate_json(data))
        return await self._complete(request, CompletionsBody.model_validate_json(data))

    async def _complete_tokens(self, request: HttpRequest, body: ReplicaCompletionsBody) -> Response:
        """Raises HttpError (400) where the model's tokenizer is not known."""
        if self.read_tokenizer is None:
            raise HttpError(400, "`prompt`: token ids are not accepted here. Send a text.")
        engine = self.source.ready_engine()
        tokenizer = await asyncio.to_thread(self.read_tokenizer)
        head = completions_format.Head.new(body.model, int(time.time()))
        if (forced := body.structured_outputs) is not None and forced.is_whole_answer:
            if body.stream or body.n > 1:
                raise HttpError(400, "`structured_outputs.regex`: a whole answer is not streamed and has one choice.")
            return JSONResponse(token_completions.forced_answer(head, tokenizer, body, forced.text))
        prepared = await asyncio.to_thread(token_completions.token_request, engine, tokenizer, body, _session(request))
        answer = token_completions.TokenAnswer(engine, prepared, tokenizer)
        if body.stream:
            return EventStream(self._encoded(engine, token_completions.events(head, answer, body)), self._report)
        whole = token_completions.response(head, answer, body)
        return JSONResponse(await self._whole(engine, whole, request))

    async def _complete(self, request: HttpRequest, body: CompletionsBody) -> Response:
        engine = self.source.ready_engine()
        prepared = await asyncio.to_thread(completions_request, engine, self.settings, body, _session(request))
        stream = AnswerStream(engine, prepared, body.stop)
        head = completions_format.Head.new(body.model or engine.status().model, int(time.time()))
        if body.stream:
            includes_usage = body.stream_options is not None and body.stream_options.include_usage
            events = completions_format.events(head, stream, includes_usage)
            return EventStream(self._encoded(engine, events), self._report)
        answers = await self._whole(engine, stream.collect(), request)
        return JSONResponse(completions_format.response(head, answers, stream.timings))

    async def _infill(self, request: HttpRequest, data: bytes) -> Response:
        body = InfillBody.model_validate_json(data)
        engine = self.source.ready_engine()
        session = _session(request) if body.id_slot < 0 else f"http:slot-{body.id_slot}"
        prepared = await asyncio.to_thread(infill_request, engine, self.settings, body, session)
        if not prepared.max_new_tokens:
            await self._whole(engine, _prefill(engine, prepared), request)
            return JSONResponse(infill_format.response("", engine.status().model, body.response_fields))
        stream = AnswerStream(engine, prepared, body.stop)
        if body.stream:
            events = infill_format.events(stream, engine.status().model, body.response_fields)
            return EventStream(self._encoded(engine, events), self._report)
        [answer] = await self._whole(engine, stream.collect(), request)
        return JSONResponse(
            infill_format.response(answer.text, engine.status().model, body.response_fields, answer, stream.timings)
        )

    async def _whole(self, engine: Engine, work: Coroutine[Any, Any, T], request: HttpRequest) -> T:
        """The result of ``work``, which ends early if the client leaves. Raises what it raises, and ClientGone."""
        async with self._replaced_if_failed(engine):
            return await run_while_connected(work, request.receive)

    async def _encoded(self, engine: Engine, events: AsyncIterator[Mapping[str, Any] | str]) -> AsyncIterator[bytes]:
        async with self._replaced_if_failed(engine):
            async for event in events:
                yield encode_event(event)

    @asynccontextmanager
    async def _replaced_if_failed(self, engine: Engine) -> AsyncIterator[None]:
        """An engine that cannot answer any more is replaced after the failure of what runs inside."""
        try:
            yield
        except (EngineClosed, DeviceFailed):
            await asyncio.to_thread(self.source.replace, engine)
            raise


async def _prefill(engine: Engine, request: Request) -> None:
    await engine.prefill(dataclasses.replace(request, priority=Priority.PREFILL, forced_prefix="", stop=None))


class EventStream(Response):
    """Server-sent events that end when the client disconnects. An error after the first event becomes an event."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], report: Callable[[Exception], HttpError]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache"})
        del self.headers["content-length"]
        self._events, self._report = events, report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await run_while_connected(self._send_events(scope, receive, send), receive)
        except ClientGone:
            logger.debug("a client left before its answer was complete")

    async def _send_events(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_started = False
        try:
            async for event in self._events:
                if not is_started:
                    is_started = True
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except Exception as error:  # noqa: BLE001  a client waits for the end
            response = self._report(error)
            if not is_started:
                await error_response(response)(scope, receive, send)
                return
            body = encode_event(error_object(response.status, str(response)))
            await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            await self._events.aclose()  # type: ignore[attr-defined]
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _session(request: HttpRequest) -> str:
    """The key of the client's prefix cache: requests of one document should have the same ``x-session-id``.

    Without the header it is empty: the requests of all such clients are not one document, whose requests would wait for
    each other.
    """
    session = request.headers.get("x-session-id", "")[:_MAX_SESSION_CHARS]
    return f"http:{session}" if session else ""
