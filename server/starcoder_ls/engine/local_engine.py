"""The engine that keeps a model in this process: one thread of its own loads the model and runs every request.

Requests reach that thread through a queue; each has an output stream back to its caller. Importing this module is
cheap: torch is imported by the thread.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import re
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from starcoder_ls.engine import cpu_threads
from starcoder_ls.engine.loading.progress import scale_progress
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.engine.memory import gc_frozen, release_memory
from starcoder_ls.engine.scheduling.request_queue import RequestQueue, ScheduledRequest
from starcoder_ls.errors import AdapterInvalid, DeviceFailed, EngineClosed, EngineError, EngineNotReady, StarcoderError
from starcoder_ls.generation import AdapterStatus, Chunk, Phase, Request, Status
from starcoder_ls.heap import HeapTrimmer
from starcoder_ls.import_failures import explain_import_failure
from starcoder_ls.output_stream import OutputStream
from starcoder_ls.settings import ADAPTER_NAME, Adapter, Model

if TYPE_CHECKING:
    from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
    from starcoder_ls.engine.generation.loaded_model import LoadedModel
    from starcoder_ls.text_tokens.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 1.0
EXIT_TIMEOUT_S = 60.0
"""How long the interpreter waits at its exit for the threads of closed engines."""

NOTIFY_WORKING_AFTER_S = 0.05
"""Listeners are not notified of shorter work: at every key it would wake every window's loop before the first pass."""


class LocalEngine:
    """``generation.Engine`` over weights in this process. Constructing it starts nothing."""

    def __init__(
        self, model: Model, adapters: Mapping[str, Adapter] | None = None, releases_memory: bool = True
    ) -> None:
        """``releases_memory`` is False if the process ends after the engine: collecting garbage takes 0.4 s."""
        self._settings = model
        self._releases_memory = releases_memory
        self._adapter_settings = dict(adapters or {})
        self._adapters: ResidentAdapters | None = None
        self._queue = RequestQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._status = Status(phase=Phase.LOADING, message="The model has not begun to load.", model=model.name)
        self._last_notified = self._status
        self._listeners: list[Callable[[Status], None]] = []
        self._tokenizer: Tokenizer | None = None

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        scheduled, has_ended = ScheduledRequest(request, OutputStream()), False
        self._submit(scheduled)
        try:
            while not has_ended and (chunks := await scheduled.output.chunks()) is not None:
                for chunk in chunks:
                    has_ended = chunk.timings is not None  # the last one: the engine's own clean-up is not awaited
                    yield chunk
        finally:
            scheduled.abandoned.set()

    async def prefill(self, request: Request) -> None:
        scheduled = ScheduledRequest(request, OutputStream(), is_prefill=True)
        self._submit(scheduled)
        try:
            while await scheduled.output.chunks() is not None:
                pass
        finally:
            scheduled.abandoned.set()

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if not re.fullmatch(ADAPTER_NAME, name):
            raise AdapterInvalid(f"{name!r:.80} is no name for an adapter. Use letters, digits, `-` and `_`.")
        adapters = self._ready_adapters()
        # Files take a disk, and perhaps a network, and PEFT takes its time: the engine's thread goes on meanwhile.
        prepared, layers = await asyncio.to_thread(adapters.prepare, adapter, self._settings.offline)
        added: list[AdapterStatus] = []
        await self._run_control_task(lambda: added.append(adapters.add(name, prepared, layers=layers).status()))
        return added[0]

    async def detach(self, name: str) -> None:
        adapters = self._ready_adapters()
        await self._run_control_task(lambda: adapters.remove(name))

    async def _run_control_task(self, control_task: Callable[[], None]) -> None:
        """Run it in the engine's thread between two passes. Requests that arrived before keep their adapters."""
        scheduled = ScheduledRequest(Request((), 0), OutputStream(), control_task=control_task)
        self._submit(scheduled)
        while await scheduled.output.chunks() is not None:
            pass

    def _ready_adapters(self) -> ResidentAdapters:
        if self._adapters is None or self._status.phase not in (Phase.READY, Phase.WORKING):
            raise self._not_ready_error()
        return self._adapters

    def count_tokens(self, text: str) -> int:
        tokenizer = self._tokenizer
        if tokenizer is None:
            raise self._not_ready_error()
        return tokenizer.count_tokens(text)

    def status(self) -> Status:
        return self._status

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def start(self) -> None:
        with self._lock:
            if self._thread is not None or self._is_closing.is_set():
                return
            self._thread = threading.Thread(target=self._run, name="starcoder-ls-engine", daemon=True)
            _started_engines.add(self)
        self._thread.start()

    def close(self) -> None:
        """End all requests and the thread. A load inside a library call is left to the daemon thread, which ends
        after it."""
        self._is_closing.set()
        self._queue.close()
        with self._lock:
            thread = self._thread
        if thread is None:
            self._notify(replace(self._status, phase=Phase.CLOSED, message=""))
        elif thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT_S)

    def _submit(self, scheduled: ScheduledRequest) -> None:
        """Raises EngineNotReady, EngineClosed, and AdapterInvalid for an adapter that is not loaded."""
        scheduled.adapter = self._ready_adapters().find(scheduled.request.adapter)
        self._queue.add(scheduled)

    def _not_ready_error(self) -> EngineError:
        status = self._status
        if self._is_closing.is_set() or status.phase is Phase.CLOSED:
            return EngineClosed("The engine has been closed. Start the server again.")
        if status.phase is Phase.FAILED:
            return EngineNotReady(status.message)
        return EngineNotReady(f"The model is still loading ({status.progress:.0%}). Try again in a moment.")

    def _notify(self, status: Status) -> None:
        """Set the status and notify the listeners of it, unless they know it already."""
        self._status = status
        if status == self._last_notified:
            return
        self._last_notified = status
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            try:
                listener(status)
            except Exception:  # noqa: BLE001 - a listener's bug is no reason to stop the engine
                _log.exception("a status listener failed")

    # Everything below runs in the engine's own thread.

    def _run(self) -> None:
        try:
            loaded = self._load()
            if loaded is not None:
                self._serve(loaded)
        except DeviceFailed as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - the status is where a dead thread can say why
            _log.exception("the engine stopped")
            self._fail(f"The engine stopped ({type(error).__name__}). Start the server again; see the log.", error)
        finally:
            loaded = self._tokenizer = self._adapters = None
            self._queue.close()
            for scheduled in self._queue.drain():
                if scheduled.steps is not None:
                    scheduled.steps.close()
                scheduled.output.put(EngineClosed("The engine ended while it worked on this. Ask once more."))
            if self._releases_memory:
                release_memory()
            if self._is_closing.is_set():
                self._notify(replace(self._status, phase=Phase.CLOSED, message="", memory_bytes=0))

    def _load(self) -> LoadedModel | None:
        """The model; None if it cannot be loaded, for the reason that the status then has."""
        try:
            self._report(0.0, "Checking the files of the model.")
            checkpoint = resolve_checkpoint(self._settings, scale_progress(self._report, 0.0, 0.1))
            self._report(0.1, "Starting torch.")
            cpu_threads.configure_openmp()
            with gc_frozen():
                from starcoder_ls.engine import assembly
                from starcoder_ls.engine.runner.threads import physical_cores

            cpu_threads.limit(self._settings.threads or physical_cores())
            loaded = assembly.load(self._settings, self._report, self._adapter_settings, checkpoint)
        except _Closing:
            return None
        except Exception as error:  # noqa: BLE001 - the status is where a dead thread can say why
            if isinstance(error, StarcoderError):
                self._fail(str(error))
            else:
                _log.exception("loading %s failed", self._settings.name)
                self._fail(f"{self._settings.name} could not be loaded: {error}. The log has the details.", error)
            return None
        self._tokenizer, self._adapters = loaded.tokenizer, loaded.adapters
        self._notify(loaded.ready_status(self._settings.name))
        return loaded

    def _report(self, progress: float, sentence: str) -> None:
        if self._is_closing.is_set():
            raise _Closing
        self._notify(replace(self._status, phase=Phase.LOADING, progress=progress, message=sentence))

    def _fail(self, sentence: str, error: Exception | None = None) -> None:
        reason = None if error is None else explain_import_failure(error)
        status = replace(self._status, phase=Phase.FAILED, message=reason or sentence)
        self._notify(replace(status, needs_new_process=reason is not None))

    def _serve(self, loaded: LoadedModel) -> None:
        """Run requests until the queue is closed. Raises DeviceFailed."""
        from starcoder_ls.engine.generation.request_generation import GenerationState
        from starcoder_ls.engine.scheduling.batcher import Batcher

        cpu_threads.limit(1)  # the runner uses more for long passes; what is between passes is too small to divide
        state, runner, adapters = GenerationState.empty(loaded), loaded.runner, loaded.adapters

        def on_finished(scheduled: ScheduledRequest) -> None:
            self._queue.remove(scheduled)
            state.prefix_cache.retain_adapters(adapters.keys)
            if runner.graphs is not None:
                runner.graphs.retain_adapters(adapters.keys)
            if scheduled.control_task is not None:
                self._notify(replace(self._status, adapters=adapters.statuses()))
            scheduled.output.put(None)

        batcher, heap_trimmer = Batcher(self._queue, state, on_finished), HeapTrimmer()
        busy_since_s: float | None = None
        while True:
            runner.capture_graphs(self._queue.stays_quiet)
            heap_trimmer.trim_if_due(self._queue.stays_quiet)
            if (scheduled := self._queue.next_request()) is None:
                return
            if busy_since_s is None:
                busy_since_s, self._status = time.monotonic(), replace(self._status, phase=Phase.WORKING)
            elif time.monotonic() - busy_since_s > NOTIFY_WORKING_AFTER_S:
                self._notify(self._status)
            batcher.step(scheduled)
            if self._queue.is_idle():
                graph_bytes = 0 if runner.graphs is None else runner.graphs.bytes
                memory_bytes = loaded.bytes + state.prefix_cache.bytes + graph_bytes
                busy_since_s, message = None, loaded.status_message
                self._notify(replace(self._status, phase=Phase.READY, message=message, memory_bytes=memory_bytes))


_started_engines: weakref.WeakSet[LocalEngine] = weakref.WeakSet()


@atexit.register
def join_engine_threads() -> bool:
    """Close all engines and wait for their threads. Returns whether they have ended within ``EXIT_TIMEOUT_S``.

    A thread that the exiting interpreter stops inside torch aborts the process.
    """
    engines = list(_started_engines)
    for engine in engines:
        engine.close()
    deadline_s = time.monotonic() + EXIT_TIMEOUT_S
    threads = [engine._thread for engine in engines if engine._thread is not None]
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


class _Closing(Exception):
    """Ends a load between two reports."""
