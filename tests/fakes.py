"""A small real engine: the whole protocol of ``generation.Engine`` over a script instead of weights.

Like the real one it decodes in a thread of its own and learns of a cancelled request only from its flag.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from starcoder_ls.errors import AdapterInvalid, EngineClosed, EngineNotReady, StarcoderError
from starcoder_ls.generation import AdapterStatus, Chunk, Finish, Phase, Priority, Request, Status, Timings
from starcoder_ls.settings import Adapter, Model, Settings

FIM = frozenset({"<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>"})
SCRIPTED = Settings(model=Model(name="scripted"))
"""Settings that name no model with adapters of its own."""

_Job = tuple[Request, Callable[[Chunk | Exception], None]]


def before_cursor(request: Request) -> str:
    """The text before the cursor that ``request`` is about, in an order that ends with it."""
    last = request.parts[-1]
    assert isinstance(last, str)
    return last + request.forced_prefix


class ScriptedEngine:
    """Answers candidate ``i`` with ``scripts[i]`` (the last one for those beyond), one token per step.

    ``steps`` counts decode steps over all requests; ``heard`` keeps them. ``failure`` ends the loading, ``error`` every
    request. The loading shows ``load_steps`` values of progress. Counting tokens takes ``count_s``.
    With ``is_daemon`` False its thread outlives the interpreter's orderly end. ``replies`` are recorded answers: the
    first whose key occurs in the prompt is replayed instead of ``scripts``.
    """

    def __init__(
        self,
        scripts: Sequence[Sequence[str]] = (("re", "turn ", "1", "\n"),),
        load_s: float = 0.0,
        token_s: float = 0.0,
        failure: str = "",
        error: Exception | None = None,
        load_steps: int = 4,
        count_s: float = 0.0,
        is_daemon: bool = True,
        adapters: Sequence[str] = (),
        replies: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.replies = dict(replies or {})
        self.scripts, self.token_s = [list(script) for script in scripts], token_s
        self.load_s, self.failure, self.error, self.load_steps = load_s, failure, error, load_steps
        self.count_s = count_s
        self.steps = 0
        self.starts = 0
        self.heard: list[Request] = []
        self._listeners: list[Callable[[Status], None]] = []
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._live, name="scripted-engine", daemon=is_daemon)
        self._status = Status(
            Phase.LOADING,
            "Reading the weights.",
            model="scripted",
            device="cpu",
            context_tokens=8192,
            special_tokens=FIM,
            adapters=tuple(AdapterStatus(name) for name in adapters),
        )

    @property
    def requests(self) -> list[Request]:
        """What was asked, without what was read or made before anybody asked."""
        return [request for request in self.heard if request.priority is not Priority.PREFILL]

    def start(self) -> None:
        self.starts += 1
        self._thread.start()

    def close(self) -> None:
        self._is_closed.set()
        self._jobs.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def status(self) -> Status:
        return self._status

    def count(self, text: str) -> int:
        if self._status.phase is Phase.LOADING:
            raise EngineNotReady("The model is loading. Wait a moment.")
        time.sleep(self.count_s)
        return (len(text) + 3) // 4

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        attached = AdapterStatus(name, "LORA", adapter.path)
        others = tuple(other for other in self._status.adapters if other.name != name)
        self._become(adapters=(*others, attached))
        return attached

    async def detach(self, name: str) -> None:
        left = tuple(adapter for adapter in self._status.adapters if adapter.name != name)
        if left == self._status.adapters:
            raise AdapterInvalid(f"No adapter {name} is loaded.")
        self._become(adapters=left)

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def prefill(self, request: Request) -> None:
        self.heard.append(request)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        if self._status.phase in (Phase.LOADING, Phase.FAILED):
            raise EngineNotReady("The model is not ready. Wait a moment.")
        self.heard.append(request)
        if self.error is not None:
            raise self.error
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Chunk | Exception] = asyncio.Queue()
        self._jobs.put((request, lambda item: loop.call_soon_threadsafe(arrived.put_nowait, item)))
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

    def _live(self) -> None:
        for step in range(self.load_steps):
            if self._is_closed.wait(self.load_s / self.load_steps):
                return
            self._become(progress=(step + 1) / self.load_steps)
        if self.failure:
            self._become(phase=Phase.FAILED, message=self.failure)
            return
        self._become(phase=Phase.READY, message="", progress=1.0)
        while (job := self._jobs.get()) is not None:
            self._become(phase=Phase.WORKING)
            with contextlib.suppress(RuntimeError):  # the loop that asked is closed
                try:
                    self._decode(*job)
                except Exception as error:  # noqa: BLE001 - a stop rule's mistake is the asker's to see, as in the engine
                    job[1](error)
            self._become(phase=Phase.READY)
        self._become(phase=Phase.CLOSED)

    def _decode(self, request: Request, put: Callable[[Chunk | Exception], None]) -> None:
        for candidate in range(request.candidates):
            script = self._script(request, candidate)
            finish, held = self._one(request, candidate, script, put)
            is_last = candidate == request.candidates - 1 or finish is Finish.CANCELLED
            timings = Timings(prompt_tokens=9, decode_steps=self.steps) if is_last else None
            put(Chunk(held, candidate=candidate, finish=finish, timings=timings))
            if is_last:
                return

    def _script(self, request: Request, candidate: int) -> Sequence[str]:
        prompt = "".join(part for part in request.parts if isinstance(part, str))
        recorded = (reply for key, reply in self.replies.items() if key in prompt)
        return next(recorded, self.scripts[min(candidate, len(self.scripts) - 1)])

    def _one(
        self, request: Request, candidate: int, script: Sequence[str], put: Callable[[Chunk | Exception], None]
    ) -> tuple[Finish, str]:
        """Why it ended, and the text that waited for the end: all of it where a stop rule may shorten it yet."""
        text = ""
        for number, token in enumerate(script):
            if self._is_closed.is_set():
                put(EngineClosed("The engine was closed. Start the server again."))
            if request.cancel.is_set() or self._is_closed.is_set():
                return Finish.CANCELLED, text if request.stop else ""
            if number >= request.max_new_tokens:
                return Finish.LENGTH, text if request.stop else ""
            if request.deadline_s is not None and time.monotonic() > request.deadline_s:
                return Finish.DEADLINE, text if request.stop else ""
            time.sleep(self.token_s)
            self.steps += 1
            text += token
            kept = request.stop(text) if request.stop else None
            put(Chunk("" if request.stop else token, token_ids=(number,), candidate=candidate))
            if kept is not None:
                return Finish.STOP_RULE, text[: max(kept, 0)]
        return Finish.END_OF_TEXT, text if request.stop else ""

    def _become(self, **changes: object) -> None:
        self._status = dataclasses.replace(self._status, **changes)  # type: ignore[arg-type]
        for listener in list(self._listeners):
            listener(self._status)


class Refused(StarcoderError):
    """An error on purpose, with a sentence for the user."""
