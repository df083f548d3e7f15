"""An engine that runs on the event loop of the test, step by step, and a clock that the test advances.

With these, tests of completion need neither threads nor waiting.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from fakes import FIM_TOKENS
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import AdapterStatus, Capabilities, Chunk, FinishReason, Phase, Request, Status, Timings
from starcoder_ls.settings import Adapter


async def settle() -> None:
    """Run everything on the event loop that is ready, and what that makes ready."""
    for _ in range(30):
        await asyncio.sleep(0)


class SteppedEngine:
    """Generates candidate ``i`` as ``scripts[i]`` (the last script for further candidates), one token per step.

    If ``is_stepped``, a token is generated, and a prompt read, only when the test calls ``step``. A step takes
    ``token_s`` seconds of the request's deadline without waiting. ``steps`` counts steps over all requests. ``error``
    makes every generation fail. Each token has the probability ``probability``, which the test may change.
    """

    def __init__(
        self, *scripts: Sequence[str], is_stepped: bool = False, token_s: float = 0.0, error: Exception | None = None
    ) -> None:
        self.scripts: Sequence[Sequence[str]] = scripts
        self.is_stepped = is_stepped
        self.token_s = token_s
        self.error = error
        self.probability = 1.0
        self.steps = 0
        self.elapsed_s = 0.0
        self.requests: list[Request] = []
        self.context_tokens = 8192
        self.adapters: tuple[AdapterStatus, ...] = ()
        self.capabilities = Capabilities()
        self._allowed_steps = 0
        self._may_step = asyncio.Event()

    @property
    def generations(self) -> list[Request]:
        return [request for request in self.requests if request.max_new_tokens]

    @property
    def prefills(self) -> list[Request]:
        return [request for request in self.requests if not request.max_new_tokens]

    async def step(self, count: int = 1) -> None:
        """Allow ``count`` steps and wait until the engine has made those that it has work for."""
        self._allowed_steps = count
        self._may_step.set()
        for _ in range(count):
            await settle()
        self._allowed_steps = 0
        self._may_step.clear()

    async def run(self) -> None:
        """Allow all steps from now on, and wait until nothing runs."""
        self.is_stepped = False
        self._may_step.set()
        before = -1
        while before != self.steps:
            before = self.steps
            await settle()

    async def _next_step(self, request: Request) -> FinishReason | None:
        """Wait for a step; the reason if the request ends before it."""
        await asyncio.sleep(0)
        while self.is_stepped and not self._allowed_steps:
            self._may_step.clear()
            await self._may_step.wait()
        if request.cancel.is_set():
            return FinishReason.CANCELLED
        if request.deadline_s is not None and time.monotonic() + self.elapsed_s > request.deadline_s:
            return FinishReason.DEADLINE
        self._allowed_steps = max(self._allowed_steps - 1, 0)
        self.steps += 1
        self.elapsed_s += self.token_s
        return None

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        for candidate in range(request.candidates):
            script, text = self.scripts[min(candidate, len(self.scripts) - 1)], ""
            reason: FinishReason | None = None
            for number, token in enumerate(script):
                reason = FinishReason.LENGTH if number >= request.max_new_tokens else await self._next_step(request)
                if reason is not None:
                    break
                text += token
                kept = request.stop(text) if request.stop else None
                yield Chunk("", (number,), math.log(self.probability), candidate)
                if kept is not None:
                    reason, text = FinishReason.STOP_RULE, text[: max(kept, 0)]
                    break
            is_last = candidate == request.candidates - 1 or reason is FinishReason.CANCELLED
            timings = Timings(prompt_tokens=9, decode_steps=self.steps) if is_last else None
            reason = reason or FinishReason.END_OF_TEXT
            yield Chunk(text, candidate=candidate, finish_reason=reason, timings=timings)
            if is_last:
                return

    async def prefill(self, request: Request) -> None:
        self.requests.append(request)
        await self._next_step(request)

    def count_tokens(self, text: str) -> int:
        return (len(text) + 3) // 4

    def status(self) -> Status:
        return Status(
            Phase.READY,
            model="stepped",
            context_tokens=self.context_tokens,
            special_tokens=FIM_TOKENS,
            adapters=self.adapters,
            capabilities=self.capabilities,
        )

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        attached = AdapterStatus(name, "LORA", adapter.path)
        self.adapters = (*(other for other in self.adapters if other.name != name), attached)
        return attached

    async def detach(self, name: str) -> None:
        raise AdapterInvalid(f"No adapter {name} is loaded.")

    def subscribe(self, _listener: Callable[[Status], None]) -> Callable[[], None]:
        return lambda: None

    def start(self) -> None: ...

    def close(self) -> None: ...


@dataclass(eq=False)
class _Call:
    due_s: float
    callback: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class ManualClock:
    """A monotonic clock in seconds, and the delayed calls on it. Both move only when the test calls ``advance``."""

    now_s: float = 100.0
    calls: list[_Call] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    def schedule(self, delay_s: float, callback: Callable[[], None]) -> _Call:
        call = _Call(self.now_s + delay_s, callback)
        self.calls.append(call)
        return call

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: make the calls that are due, in order, and run what they make ready."""
        self.now_s += seconds
        due = sorted((call for call in self.calls if call.due_s <= self.now_s), key=lambda call: call.due_s)
        self.calls = [call for call in self.calls if call.due_s > self.now_s]
        for call in due:
            if not call.is_cancelled:
                call.callback()
        await settle()
