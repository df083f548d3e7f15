"""An engine without its thread: whoever tests it says when the next round is played, and hears what each was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from starcoder_ls.engine.generation.request_generation import completion
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache
from starcoder_ls.engine.loading.load_model import Loaded
from starcoder_ls.engine.scheduling.batcher import Batcher
from starcoder_ls.engine.scheduling.request_queue import OutputStream, RequestQueue, ScheduledRequest
from starcoder_ls.generation import CancelFlag, Chunk, FinishReason, Priority, Request, Sampling

TEXT = "def wrap(text, width=70):\n    lines = text.split()\n    return fill(lines"


@st.composite
def asked(draw: st.DrawFn, most_repeats: int, priorities: Sequence[Priority] = (Priority.COMPLETION,)) -> Request:
    """Any request about ``TEXT``, or about as many times it."""
    start, stop = draw(st.integers(0, 60)), draw(st.integers(1, 60))
    candidates = draw(st.sampled_from([1, 1, 1, 3]))
    warm = draw(st.sampled_from([0.0, 0.0, 0.9])) if candidates == 1 else 0.9
    return Request(
        (TEXT[start:] * draw(st.integers(1, most_repeats)),),
        draw(st.integers(1, 24)),
        forced_prefix=draw(st.sampled_from(["", "", " lin"])),
        candidates=candidates,
        sampling=Sampling(temperature=warm, seed=start),
        stop=lambda text: stop - 1 if len(text) >= stop else None,
        client=draw(st.sampled_from("abc")),
        priority=draw(st.sampled_from(priorities)),
    )


class Heard(OutputStream):
    """What a request was told."""

    def __init__(self) -> None:
        self.chunks_told: list[Chunk] = []
        self.error: BaseException | None = None

    def put(self, delivery: Any) -> None:
        if isinstance(delivery, BaseException):
            self.error = delivery
        else:
            self.chunks_told += delivery or ()

    def said(self) -> list[tuple[str, list[int], FinishReason | None]]:
        """Of each candidate its text, its ids and why it ended."""
        return said(self.chunks_told)


def said(chunks: Sequence[Chunk]) -> list[tuple[str, list[int], FinishReason | None]]:
    found = []
    for number in range(1 + max((chunk.candidate for chunk in chunks), default=-1)):
        own = [chunk for chunk in chunks if chunk.candidate == number]
        found.append(("".join(c.text for c in own), [i for c in own for i in c.token_ids], own[-1].finish_reason))
    return found


class Table:
    """An engine without its thread: whoever tests it says when the next round is played."""

    def __init__(self, loaded: Loaded, slots: PrefixCache | None = None) -> None:
        self.loaded, self.slots = loaded, slots or PrefixCache(loaded.layers)
        self.jobs = RequestQueue()
        self.ended: list[ScheduledRequest] = []
        self.rounds = Batcher(self.jobs, loaded, self.slots, self._end)

    def _end(self, job: ScheduledRequest) -> None:
        self.jobs.remove(job)
        self.ended.append(job)

    def ask(self, request: Request, is_prefill: bool = False) -> ScheduledRequest:
        held = self.loaded.adapters.named(request.adapter)
        job = ScheduledRequest(replace(request, cancel=CancelFlag()), Heard(), is_prefill=is_prefill, adapter=held)
        self.jobs.add(job)
        return job

    def play(self, most: int = 10_000) -> int:
        """Until nobody is left; how many rounds it took."""
        played = 0
        while not self.jobs.is_idle() and played < most:
            leader = self.jobs.best()
            assert leader is not None
            self.rounds.play(leader)
            played += 1
        return played


def heard(job: ScheduledRequest) -> Heard:
    assert isinstance(job.outlet, Heard)
    return job.outlet


def alone(loaded: Loaded, request: Request) -> list[tuple[str, list[int], FinishReason | None]]:
    pieces = completion(request, loaded, PrefixCache(loaded.layers), lambda: None)
    return said([chunk for chunks in pieces for chunk in chunks])
