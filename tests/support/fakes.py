"""A complete implementation of ``generation.Engine`` that answers from a script instead of running a model.

Like the real engine, it decodes in its own thread and detects cancellation only by the request's flag.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import queue
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starcoder_ls.errors import AdapterInvalid, EngineClosed, EngineNotReady, StarcoderError
from starcoder_ls.generation import AdapterStatus, Chunk, FinishReason, Phase, Priority, Request, Status, Timings
from starcoder_ls.settings import Adapter, Model, Settings

FIM_TOKENS = frozenset({"<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"})
SCRIPTED_SETTINGS = Settings(model=Model(name="scripted"))
"""Settings with a model that brings no adapters of its own."""

_QueuedRequest = tuple[Request, Callable[[Chunk | Exception], object]]


def text_before_cursor(request: Request) -> str:
    """The text before the cursor of ``request``, for prompt orders that end with it."""
    last = request.parts[-1]
    assert isinstance(last, str)
    return last + request.forced_prefix


class ScriptedEngine:
    """Generates candidate ``i`` as ``scripts[i]`` (the last script for further candidates), one token per step.

    ``steps`` counts decode steps over all requests, ``all_requests`` collects them. ``failure`` makes loading fail,
    ``error`` every request. Loading takes ``load_s`` and reports ``load_steps`` values of progress; a token takes
    ``token_s``. A request first creates the file ``block_marker``, if given, and blocks
    the event loop. With ``is_daemon`` False the engine's thread keeps the process alive until
    the engine is closed. ``replies`` are recorded answers: the first whose key is in the prompt replaces ``scripts``.
    ``adapter_scripts`` replace them for the requests of an adapter, by its name.
    """

    def __init__(
        self,
        scripts: Sequence[Sequence[str]] = (("re", "turn ", "1", "\n"),),
        load_s: float = 0.0,
        token_s: float = 0.0,
        failure: str = "",
        error: Exception | None = None,
        load_steps: int = 4,
        block_marker: str = "",
        is_daemon: bool = True,
        adapters: Sequence[str] = (),
        replies: Mapping[str, Sequence[str]] | None = None,
        adapter_scripts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.replies, self.adapter_scripts = dict(replies or {}), dict(adapter_scripts or {})
        self.scripts, self.token_s = [list(script) for script in scripts], token_s
        self.load_s, self.failure, self.error, self.load_steps = load_s, failure, error, load_steps
        self.block_marker = block_marker
        self.steps = 0
        self.start_count = 0
        self.all_requests: list[Request] = []
        self._listeners: list[Callable[[Status], None]] = []
        self._queue: queue.SimpleQueue[_QueuedRequest | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-engine", daemon=is_daemon)
        self._status = Status(
            Phase.LOADING,
            "Reading the weights.",
            model="scripted",
            device="cpu",
            context_tokens=8192,
            special_tokens=FIM_TOKENS,
            adapters=tuple(AdapterStatus(name) for name in adapters),
        )

    @property
    def requests(self) -> list[Request]:
        """The requests with priority above ``PREFILL``: without prompts that were only read in advance."""
        return [request for request in self.all_requests if request.priority is not Priority.PREFILL]

    def start(self) -> None:
        self.start_count += 1
        self._thread.start()

    def close(self) -> None:
        self._is_closed.set()
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def status(self) -> Status:
        return self._status

    def count_tokens(self, text: str) -> int:
        if self._status.phase is Phase.LOADING:
            raise EngineNotReady("The model is loading. Wait a moment.")
        return (len(text) + 3) // 4

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        attached = AdapterStatus(name, "LORA", adapter.path)
        others = tuple(other for other in self._status.adapters if other.name != name)
        self.set_status(adapters=(*others, attached))
        return attached

    async def detach(self, name: str) -> None:
        left = tuple(adapter for adapter in self._status.adapters if adapter.name != name)
        if left == self._status.adapters:
            raise AdapterInvalid(f"No adapter {name} is loaded.")
        self.set_status(adapters=left)

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def prefill(self, request: Request) -> None:
        self.all_requests.append(request)

    def _block_if_marked(self) -> None:
        if self.block_marker:
            Path(self.block_marker).touch()
            time.sleep(3600)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        if self._status.phase in (Phase.LOADING, Phase.FAILED):
            raise EngineNotReady("The model is not ready. Wait a moment.")
        self.all_requests.append(request)
        self._block_if_marked()
        if self.error is not None:
            raise self.error
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Chunk | Exception] = asyncio.Queue()
        self._queue.put((request, lambda item: loop.call_soon_threadsafe(arrived.put_nowait, item)))
        has_ended = False
        try:
            while not has_ended:
                item = await arrived.get()
                if isinstance(item, Exception):
                    raise item
                has_ended = item.timings is not None
                yield item
        finally:
            if not has_ended:
                request.cancel.set()

    def _run(self) -> None:
        for step in range(self.load_steps):
            if self._is_closed.wait(self.load_s / self.load_steps):
                return
            self.set_status(progress=(step + 1) / self.load_steps)
        if self.failure:
            self.set_status(phase=Phase.FAILED, message=self.failure)
            return
        self.set_status(phase=Phase.READY, message="", progress=1.0)
        while (item := self._queue.get()) is not None:
            self.set_status(phase=Phase.WORKING)
            with contextlib.suppress(RuntimeError):  # the event loop of the request is closed
                try:
                    self._decode(*item)
                except Exception as error:  # noqa: BLE001 - as in the engine, the caller gets the exception of its stop rule
                    item[1](error)
            self.set_status(phase=Phase.READY)
        self.set_status(phase=Phase.CLOSED)

    def _decode(self, request: Request, put: Callable[[Chunk | Exception], object]) -> None:
        for candidate in range(request.candidates):
            script = self._script(request, candidate)
            finish_reason, unsent = self._decode_candidate(request, candidate, script, put)
            is_last = candidate == request.candidates - 1 or finish_reason is FinishReason.CANCELLED
            timings = Timings(prompt_tokens=9, decode_steps=self.steps) if is_last else None
            put(Chunk(unsent, candidate=candidate, finish_reason=finish_reason, timings=timings))
            if is_last:
                return

    def _script(self, request: Request, candidate: int) -> Sequence[str]:
        if request.adapter in self.adapter_scripts:
            return self.adapter_scripts[request.adapter]
        prompt = "".join(part for part in request.parts if isinstance(part, str))
        recorded = (reply for key, reply in self.replies.items() if key in prompt)
        return next(recorded, self.scripts[min(candidate, len(self.scripts) - 1)])

    def _decode_candidate(
        self, request: Request, candidate: int, script: Sequence[str], put: Callable[[Chunk | Exception], object]
    ) -> tuple[FinishReason, str]:
        """The reason for the end and the text not yet sent: with a stop rule, which may shorten it, the whole text."""
        text = ""
        for number, token in enumerate(script):
            if self._is_closed.is_set():
                put(EngineClosed("The engine was closed. Start the server again."))
            if request.cancel.is_set() or self._is_closed.is_set():
                return FinishReason.CANCELLED, text if request.stop else ""
            if number >= request.max_new_tokens:
                return FinishReason.LENGTH, text if request.stop else ""
            if request.deadline_s is not None and time.monotonic() > request.deadline_s:
                return FinishReason.DEADLINE, text if request.stop else ""
            time.sleep(self.token_s)
            self.steps += 1
            text += token
            stop_length = request.stop(text) if request.stop else None
            put(Chunk("" if request.stop else token, token_ids=(number,), candidate=candidate))
            if stop_length is not None:
                return FinishReason.STOP_RULE, text[: max(stop_length, 0)]
        return FinishReason.END_OF_TEXT, text if request.stop else ""

    def set_status(self, **changes: object) -> None:
        self._status = dataclasses.replace(self._status, **changes)  # type: ignore[arg-type]
        for listener in list(self._listeners):
            listener(self._status)


class PoisonedEngine(ScriptedEngine):
    """Fails for prompts that contain a key of ``poison``, by its value: ``exit`` ends the process, ``loop`` never
    returns to the event loop, ``regex`` holds the GIL in a C function."""

    def __init__(self, poison: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._poison = dict(poison)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        prompt = "".join(part for part in request.parts if isinstance(part, str))
        for effect in [effect for word, effect in self._poison.items() if word in prompt]:
            if effect == "exit":
                os._exit(9)
            while effect == "loop":
                time.sleep(0.01)  # noqa: ASYNC251
            re.match("(a*)*b", "a" * 60)
        async for chunk in super().stream(request):
            yield chunk


class ManualEngine(ScriptedEngine):
    """An engine without a thread: the test sets its phases."""

    def start(self) -> None:
        self.start_count += 1

    def close(self) -> None:
        self.set_status(phase=Phase.CLOSED)

    def become_ready(self) -> None:
        self.set_status(phase=Phase.READY, message="")

    def fail(self, message: str = "The engine stopped.") -> None:
        self.set_status(phase=Phase.FAILED, message=message)


class FakeClock:
    """Time that only ``advance`` moves; threads run at once in the caller's thread, unless ``is_threaded``."""

    def __init__(self, is_threaded: bool = False) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self._is_threaded = is_threaded

    def monotonic(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.timers.append((self.now_s + delay_s, callback))

    def start_thread(self, name: str, run: Callable[[], None]) -> None:
        if self._is_threaded:
            threading.Thread(target=run, name=name, daemon=True).start()
        else:
            run()

    def advance(self, seconds: float) -> None:
        """Run the timers that are due within ``seconds``, each at its time."""
        end_s = self.now_s + seconds
        while due := [timer for timer in self.timers if timer[0] <= end_s]:
            timer = min(due, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now_s = max(self.now_s, timer[0])
            timer[1]()
        self.now_s = end_s


class UserFacingError(StarcoderError):
    """An intended error whose message is shown to the user."""
