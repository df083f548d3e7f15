"""A scheduler without a thread: the test decides when the next step runs, and reads the output of each request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.engine.scheduling.batcher import Batcher
from starcoder_ls.engine.scheduling.request_queue import RequestQueue, ScheduledRequest
from starcoder_ls.generation import Chunk, FinishReason, Priority, Request, Sampling
from starcoder_ls.output_stream import OutputStream

TEXT = "def wrap(text, width=70):\n    lines = text.split()\n    return fill(lines"

Answer = tuple[str, list[int], FinishReason | None]
"""Text, ids and end of one candidate."""


@st.composite
def requests_about_text(
    draw: st.DrawFn, max_repeats: int, priorities: Sequence[Priority] = (Priority.COMPLETION,)
) -> Request:
    """Any request about ``TEXT``, or about as many repetitions of it."""
    start, stop = draw(st.integers(0, 60)), draw(st.integers(1, 60))
    candidates = draw(st.sampled_from([1, 1, 1, 3]))
    temperature = draw(st.sampled_from([0.0, 0.0, 0.9])) if candidates == 1 else 0.9
    return Request(
        (TEXT[start:] * draw(st.integers(1, max_repeats)),),
        draw(st.integers(1, 24)),
        forced_prefix=draw(st.sampled_from(["", "", " lin"])),
        candidates=candidates,
        sampling=Sampling(temperature=temperature, seed=start),
        stop=lambda text: stop - 1 if len(text) >= stop else None,
        client=draw(st.sampled_from("abc")),
        priority=draw(st.sampled_from(priorities)),
    )


class RecordedOutput(OutputStream):
    """Keeps the output of a request."""

    def __init__(self) -> None:
        self.recorded_chunks: list[Chunk] = []
        self.error: BaseException | None = None

    def put(self, output: Any) -> None:
        if isinstance(output, BaseException):
            self.error = output
        else:
            self.recorded_chunks += output or ()

    def answers(self) -> list[Answer]:
        """One for each candidate."""
        return answers_in(self.recorded_chunks)


def answers_in(chunks: Sequence[Chunk]) -> list[Answer]:
    """The answer of each candidate."""
    found = []
    for number in range(1 + max((chunk.candidate for chunk in chunks), default=-1)):
        own = [chunk for chunk in chunks if chunk.candidate == number]
        found.append(("".join(c.text for c in own), [i for c in own for i in c.token_ids], own[-1].finish_reason))
    return found


class StepScheduler:
    """Queue and batcher of one model, stepped by the test."""

    def __init__(self, loaded: LoadedModel, state: GenerationState | None = None) -> None:
        self.loaded, self.state = loaded, state or GenerationState.empty(loaded)
        self.queue = RequestQueue()
        self.finished: list[ScheduledRequest] = []
        self.batcher = Batcher(self.queue, self.state, self._on_finished)

    def _on_finished(self, scheduled: ScheduledRequest) -> None:
        self.queue.remove(scheduled)
        self.finished.append(scheduled)

    def submit(self, request: Request, is_prefill: bool = False) -> ScheduledRequest:
        adapter = self.loaded.adapters.find(request.adapter)
        request = replace(request, cancel=CancelFlag())
        scheduled = ScheduledRequest(request, RecordedOutput(), is_prefill=is_prefill, adapter=adapter)
        self.queue.add(scheduled)
        return scheduled

    def run(self, max_steps: int = 10_000) -> int:
        """Step until the queue is empty; the number of steps."""
        steps = 0
        while not self.queue.is_idle() and steps < max_steps:
            leader = self.queue.next_request()
            assert leader is not None
            self.batcher.step(leader)
            steps += 1
        return steps


def output_of(scheduled: ScheduledRequest) -> RecordedOutput:
    assert isinstance(scheduled.output, RecordedOutput)
    return scheduled.output


def answers_alone(loaded: LoadedModel, request: Request) -> list[Answer]:
    """The answers of ``request`` without a scheduler."""
    outputs = generate_alone(request, GenerationState.empty(loaded))
    return answers_in([chunk for chunks in outputs for chunk in chunks])
