"""The engine that keeps a model in this process: one thread of its own loads it and runs every request.

Decides how requests get to that thread, how answers get back, and what a failure ends. Refuses to know how a token is
made. Importing this is cheap: torch comes in with the thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil

from starcoder_ls.engine.memory import give_back, kept
from starcoder_ls.engine.scheduling.request_queue import OutputStream, RequestQueue, ScheduledRequest
from starcoder_ls.errors import AdapterInvalid, DeviceFailed, EngineClosed, EngineError, EngineNotReady, StarcoderError
from starcoder_ls.generation import AdapterStatus, Chunk, Phase, Request, Status
from starcoder_ls.settings import ADAPTER_NAME, Adapter, Model

if TYPE_CHECKING:
    from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
    from starcoder_ls.engine.loading.load_model import Loaded
    from starcoder_ls.text_tokens.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

CLOSE_WAIT_S = 1.0

WORKING_AFTER_S = 0.05
"""Shorter work is not told to listeners: at every key it would wake every window's loop, before the first pass."""


class LocalEngine:
    """``generation.Engine`` over weights in this process. Constructing it starts nothing."""

    def __init__(self, model: Model, adapters: Mapping[str, Adapter] | None = None) -> None:
        self._wanted = model
        self._wanted_adapters = dict(adapters or {})
        self._adapters: ResidentAdapters | None = None
        self._jobs = RequestQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._status = Status(phase=Phase.LOADING, message="The model has not begun to load.", model=model.name)
        self._told = self._status
        self._listeners: list[Callable[[Status], None]] = []
        self._tokenizer: Tokenizer | None = None

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        job, has_ended = ScheduledRequest(request, OutputStream()), False
        self._submit(job)
        try:
            while not has_ended and (chunks := await job.outlet.chunks()) is not None:
                for chunk in chunks:
                    has_ended = chunk.timings is not None  # the last one: what the engine has to put away can wait
                    yield chunk
        finally:
            job.abandoned.set()

    async def prefill(self, request: Request) -> None:
        job = ScheduledRequest(request, OutputStream(), is_prefill=True)
        self._submit(job)
        try:
            while await job.outlet.chunks() is not None:
                pass
        finally:
            job.abandoned.set()

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if not re.fullmatch(ADAPTER_NAME, name):
            raise AdapterInvalid(f"{name!r:.80} is no name for an adapter. Use letters, digits, `-` and `_`.")
        attached = self._attached()
        from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
        from starcoder_ls.engine.loading.progress import ignore_progress

        # Reading files takes a disk, and perhaps a network: the engine's thread goes on meanwhile.
        prepared = await asyncio.to_thread(prepare_adapter, adapter, self._wanted.offline, ignore_progress)
        added: list[AdapterStatus] = []
        await self._in_own_thread(lambda: added.append(attached.add(name, prepared).status()))
        return added[0]

    async def detach(self, name: str) -> None:
        attached = self._attached()
        await self._in_own_thread(lambda: attached.remove(name))

    async def _in_own_thread(self, errand: Callable[[], None]) -> None:
        """Run it between two pieces of other work. Requests that were asked before hold their adapters already."""
        job = ScheduledRequest(Request((), 0), OutputStream(), errand=errand)
        self._submit(job)
        while await job.outlet.chunks() is not None:
            pass

    def _attached(self) -> ResidentAdapters:
        if self._adapters is None or self._status.phase not in (Phase.READY, Phase.WORKING):
            raise self._not_ready()
        return self._adapters

    def count_tokens(self, text: str) -> int:
        tokenizer = self._tokenizer
        if tokenizer is None:
            raise self._not_ready()
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
        self._thread.start()

    def close(self) -> None:
        """As the seam says. A load that is inside a library call is left to the daemon thread, which ends after it."""
        self._is_closing.set()
        self._jobs.close()
        with self._lock:
            thread = self._thread
        if thread is None:
            self._tell(replace(self._status, phase=Phase.CLOSED, message=""))
        elif thread is not threading.current_thread():
            thread.join(CLOSE_WAIT_S)

    def _submit(self, job: ScheduledRequest) -> None:
        if self._status.phase not in (Phase.READY, Phase.WORKING):
            raise self._not_ready()
        job.adapter = self._attached().named(job.request.adapter)
        self._jobs.add(job)

    def _not_ready(self) -> EngineError:
        status = self._status
        if self._is_closing.is_set() or status.phase is Phase.CLOSED:
            return EngineClosed("The engine has been closed. Start the server again.")
        if status.phase is Phase.FAILED:
            return EngineNotReady(status.message)
        return EngineNotReady(f"The model is still loading ({status.progress:.0%}). Try again in a moment.")

    def _tell(self, status: Status) -> None:
        self._status = status
        if status == self._told:
            return
        self._told = status
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
            self._fail(f"The engine stopped ({type(error).__name__}). Start the server again; the log has the details.")
        finally:
            loaded = self._tokenizer = self._adapters = None
            self._jobs.close()
            for job in self._jobs.drain():
                if job.work is not None:
                    job.work.close()
                job.outlet.put(EngineClosed("The engine ended while it worked on this. Ask once more."))
            give_back()
            if self._is_closing.is_set():
                self._tell(replace(self._status, phase=Phase.CLOSED, message="", memory_bytes=0))

    def _load(self) -> Loaded | None:
        """The model, or None where the status says why not."""
        self._report(0.0, "Starting torch.")
        try:
            _prepare_threads()
            with kept():
                from starcoder_ls.engine.loading import load_model

            _use_threads(self._wanted.threads)
            loaded = load_model.load(self._wanted, self._report, self._wanted_adapters)
        except _Closing:
            return None
        except StarcoderError as error:
            self._fail(str(error))
            return None
        except Exception as error:  # noqa: BLE001 - the status is where a dead thread can say why
            _log.exception("loading %s failed", self._wanted.name)
            self._fail(f"{self._wanted.name} could not be loaded: {error}. The log has the details.")
            return None
        self._tokenizer, self._adapters = loaded.tokenizer, loaded.adapters
        self._tell(loaded.described(self._wanted.name))
        return loaded

    def _report(self, progress: float, sentence: str) -> None:
        if self._is_closing.is_set():
            raise _Closing
        self._tell(replace(self._status, phase=Phase.LOADING, progress=progress, message=sentence))

    def _fail(self, sentence: str) -> None:
        self._tell(replace(self._status, phase=Phase.FAILED, message=sentence))

    def _serve(self, loaded: Loaded) -> None:
        from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache
        from starcoder_ls.engine.scheduling.batcher import Batcher

        slots = PrefixCache(loaded.layers)

        def ended(job: ScheduledRequest) -> None:
            self._jobs.remove(job)
            slots.retain_adapters(loaded.adapters.keys)
            if graphs is not None:
                graphs.retain_adapters(loaded.adapters.keys)
            if job.errand is not None:
                self._tell(replace(self._status, adapters=loaded.adapters.statuses()))
            job.outlet.put(None)

        graphs = loaded.graphs
        rounds = Batcher(self._jobs, loaded, slots, ended)
        busy_since_s: float | None = None
        while True:
            if graphs is not None:
                graphs.record_while(self._jobs.stays_quiet)
                if loaded.pass_costs:  # else this model takes no drafts
                    loaded.pass_costs = graphs.pass_costs or loaded.pass_costs
            if (job := self._jobs.best()) is None:
                return
            if busy_since_s is None:
                busy_since_s, self._status = time.monotonic(), replace(self._status, phase=Phase.WORKING)
            elif time.monotonic() - busy_since_s > WORKING_AFTER_S:
                self._tell(self._status)
            rounds.play(job)
            if self._jobs.is_idle():
                memory_bytes = loaded.bytes + slots.bytes + (0 if graphs is None else graphs.bytes)
                busy_since_s = None
                self._tell(replace(self._status, phase=Phase.READY, memory_bytes=memory_bytes))


class _Closing(Exception):
    """Ends a load between two reports."""


def _prepare_threads() -> None:
    """Before torch is imported. Threads that spin while they wait cost 1,416 ms a step beside a busy process; 26 so.

    They may spin for some microseconds: 164 million weights on two threads took 9.9 ms a step instead of 11.3, and
    10.3 instead of 9.0 beside a busy process; ten times as long made that 23.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "300")


def _use_threads(wanted: int) -> None:
    import torch

    torch.set_num_threads(wanted or _physical_cores())


def _physical_cores() -> int:
    """Those that this process may use; containers and taskset allow fewer than there are."""
    physical = psutil.cpu_count(logical=False) or 1
    return max(1, min(physical, len(os.sched_getaffinity(0)))) if hasattr(os, "sched_getaffinity") else physical
