"""``generation.Engine`` over HTTP: one thread with an event loop talks to the server, whatever thread calls it.

The server only continues ids. Prompts, token healing, stop rules, end tokens and deadlines stay in this process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starcoder_ls.errors import EngineBusy, EngineClosed, EngineError, EngineNotReady, EngineUnreachable, StarcoderError
from starcoder_ls.generation import AdapterStatus, Chunk, Phase, Request, Status
from starcoder_ls.heap import trim_heap
from starcoder_ls.output_stream import OutputStream
from starcoder_ls.remote import remote_request
from starcoder_ls.remote.circuit_breaker import CircuitBreaker
from starcoder_ls.remote.endpoint import read_endpoint
from starcoder_ls.remote.engine_tasks import EngineTasks
from starcoder_ls.remote.handshake import ServerModel, connect
from starcoder_ls.remote.server_connection import ServerConnection
from starcoder_ls.remote.session_id import HEADER, SessionIds
from starcoder_ls.remote.tokenizer_source import read_tokenizer
from starcoder_ls.settings import Adapter, Settings
from starcoder_ls.status_listeners import StatusListeners

logger = logging.getLogger(__name__)

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0
"""Delays between attempts to reach a server that was never reached; doubled with each."""
CLOSE_TIMEOUT_S = 2.0


class RemoteEngine:
    """The engine that ``settings.remote`` describes. Constructing it connects to nothing.

    ``is_patient``: keep trying to reach the server at the start, as a language server must; a command gives up at once.
    ``token_timeout_s``: a request fails after this time without a token, so that another engine can answer; None: only
    its deadline ends it. Raises SettingsError for an endpoint that must not be used.
    """

    def __init__(
        self,
        settings: Settings,
        is_patient: bool = True,
        token_timeout_s: float | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._settings, self._is_patient, self._token_timeout_s = settings, is_patient, token_timeout_s
        self.endpoint = read_endpoint(settings.remote)
        self.breaker = breaker or CircuitBreaker()
        self._session_ids = SessionIds()
        self._listeners = StatusListeners()
        self._status = Status(Phase.LOADING, f"Connecting to {self.endpoint.host}.", model=settings.remote.model)
        self._problem = ""
        self._model: ServerModel | None = None
        self._connection: ServerConnection | None = None
        self._loop = asyncio.new_event_loop()
        self._tasks = EngineTasks(self._loop)
        self._thread = threading.Thread(target=self._run, name="starcoder-ls-remote", daemon=True)
        self._is_closing = threading.Event()

    @property
    def is_available(self) -> bool:
        """Whether a request would be sent to the server now."""
        return self._status.phase is Phase.READY and self.breaker.is_closed and not self.breaker.busy_s

    @property
    def server_model(self) -> ServerModel | None:
        """What the server said when it was asked last; None before."""
        return self._model

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        self._require_ready()
        output, has_ended = OutputStream(), False
        answering = self._tasks.submit(self._answer, request, output)
        try:
            while not has_ended and (chunks := await output.chunks()) is not None:
                for chunk in chunks:
                    has_ended = chunk.timings is not None  # the last one: the clean-up is not awaited
                    yield chunk
        finally:
            if not has_ended:
                answering.cancel()

    async def prefill(self, request: Request) -> None:
        """Does nothing unless `remote.prefill` is set."""
        model = self._require_ready()
        if model.capabilities.prefill_delay_s is None or not self.is_available:
            return
        call = remote_request.prefill_call(request, model)
        reading = self._tasks.submit(self._read_prompt, request, call)
        unregister = request.cancel.on_set(reading.cancel)
        try:
            await asyncio.gather(asyncio.wrap_future(reading), return_exceptions=True)
        finally:
            unregister()
            reading.cancel()

    def count_tokens(self, text: str) -> int:
        if self._model is None:
            raise self._not_ready_error()
        return self._model.source.tokenizer.count_tokens(text)

    def status(self) -> Status:
        return self._status

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        return self._listeners.subscribe(listener)

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        """Raises EngineError: a server has the adapters that it was started with."""
        raise EngineError(f"{self.endpoint.host} cannot load the adapter {name} ({adapter.path}) while it runs.")

    async def detach(self, name: str) -> None:
        """Raises EngineError, as ``attach``."""
        raise EngineError(f"{self.endpoint.host} cannot unload the adapter {name} while it runs.")

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._is_closing.is_set():
            return
        self._is_closing.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            if self._thread is not threading.current_thread():
                self._thread.join(CLOSE_TIMEOUT_S)
        elif self._thread.ident is None:
            self._loop.close()
        self._set_status(Status(Phase.CLOSED, model=self._status.model))

    def probe_if_due(self) -> None:
        """Ask a server that failed before whether it works again, in the background and not too often."""
        if self._status.phase is Phase.READY and not self.breaker.is_closed and self.breaker.try_acquire():
            self._tasks.submit(self._probe)

    # Everything below runs on the event loop of the engine's thread, unless it says otherwise.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._tasks.submit(self._connect_first)
            self._loop.run_forever()
            self._loop.run_until_complete(self._tasks.cancel_all())
            if self._connection is not None:
                self._loop.run_until_complete(self._connection.close())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _connect_first(self) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            try:
                await self._connect()
                return
            except (EngineUnreachable, EngineBusy) as error:
                if not self._is_patient:
                    self._set_status(replace(self._status, phase=Phase.FAILED, message=str(error)))
                    return
                message = f"{error} The next attempt is in {delay_s:.0f} s."
                self._set_status(replace(self._status, phase=Phase.LOADING, message=message))
            except StarcoderError as error:
                self._set_status(replace(self._status, phase=Phase.FAILED, message=str(error)))
                return
            except Exception as error:
                logger.exception("connecting to the server failed")
                self._set_status(replace(self._status, phase=Phase.FAILED, message=f"Internal error: {error!r:.200}"))
                return
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, MAX_RETRY_S)

    async def _connect(self) -> ServerModel:
        """Raises EngineError, SettingsError, ModelError."""
        if self._connection is None:
            self._connection = ServerConnection(self.endpoint)
        model = await connect(self._connection, self._settings, read_tokenizer)
        self._model = model
        self._connection.warm_up()
        trim_heap()  # what reading the tokenizer has left: 4 MB of the bundled one
        self._set_status(model.ready_status(self._settings, self.endpoint.host))
        return model

    async def _probe(self) -> None:
        """Raises nothing: the breaker and the status have the result."""
        try:
            await self._connect()
            self.breaker.record_success()
            logger.info("the server answers again")
        except StarcoderError as error:
            self._record_failure(error)
        except BaseException:
            self.breaker.release()
            raise

    async def _answer(self, request: Request, output: OutputStream) -> None:
        try:
            async with aclosing(self._chunks(request)) as answer:
                async for chunks in answer:
                    output.put(chunks)
            output.put(None)
        except StarcoderError as error:
            output.put(error)
        except asyncio.CancelledError:
            output.put(EngineClosed("The engine was closed while it worked on this. Ask once more."))
            raise
        except Exception as error:  # noqa: BLE001 - the caller gets what its stop rule raises
            output.put(error)

    async def _chunks(self, request: Request) -> AsyncGenerator[tuple[Chunk, ...]]:
        """The chunks of an answer; the breaker records how the server did. Raises what ``stream`` raises."""
        model = await self._acquire()
        connection = self._connection
        assert connection is not None
        try:
            generation = remote_request.generation(request, model, connection, self._headers(request))
            async with aclosing(generation.chunks(self._token_timeout_s)) as answer:
                async for group in answer:
                    if generation.is_silent:
                        self._record_failure(EngineUnreachable(f"{self.endpoint.host} sent no token in time."))
                    elif generation.is_over and generation.has_started:
                        self.breaker.record_success()
                    yield group
        except EngineUnreachable as error:
            self._record_failure(error)
            raise
        except EngineBusy as error:
            self.breaker.hold(error.retry_after_s)
            raise
        finally:
            self.breaker.release()

    async def _acquire(self) -> ServerModel:
        """The model, if a request may be sent. A server that failed before must pass the handshake again.

        Raises EngineUnreachable, EngineBusy, and what the handshake raises.
        """
        if (busy_s := self.breaker.busy_s) > 0.0:
            raise EngineBusy(f"{self.endpoint.host} is busy. It takes requests again in {busy_s:.0f} s.", busy_s)
        was_closed = self.breaker.is_closed
        if not self.breaker.try_acquire():
            raise EngineUnreachable(self._problem)
        if not was_closed:
            await self._probe()
            if not self.breaker.is_closed:
                raise EngineUnreachable(self._problem)
        return self._require_ready()

    async def _read_prompt(self, request: Request, call: Any) -> None:
        """Raises nothing that its caller would report: a prefill has no answer."""
        assert self._connection is not None
        async with aclosing(self._connection.stream(call, self._headers(request))) as events:
            async for _ in events:
                pass

    def _headers(self, request: Request) -> dict[str, str]:
        return {HEADER: self._session_ids.name(request.client, request.document)}

    def _record_failure(self, error: StarcoderError) -> None:
        was_closed, self._problem = self.breaker.is_closed, str(error)
        self.breaker.record_failure()
        if was_closed and not self.breaker.is_closed:
            logger.warning("no requests are sent for a while: %s", error)
        if not self.breaker.is_closed and self._status.phase is Phase.READY:
            self._set_status(replace(self._status, message=self._problem))

    # From any thread

    def _set_status(self, status: Status) -> None:
        self._status = status
        self._listeners.notify(status)

    def _require_ready(self) -> ServerModel:
        if self._is_closing.is_set() or self._model is None or self._status.phase is not Phase.READY:
            raise self._not_ready_error()
        return self._model

    def _not_ready_error(self) -> EngineError:
        if self._is_closing.is_set():
            return EngineClosed("The engine has been closed. Start the server again.")
        return EngineNotReady(self._status.message)
