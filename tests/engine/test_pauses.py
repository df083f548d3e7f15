"""A long pass pauses between layers for requests that should not wait for its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import checkpoints
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.runner import packed_linear
from starcoder_ls.engine.scheduling.batcher import MAX_STARTED_REQUESTS
from starcoder_ls.engine.scheduling.request_queue import ScheduledRequest
from starcoder_ls.generation import FinishReason, Priority, Request
from starcoder_ls.settings import Model
from step_scheduler import RecordedOutput, StepScheduler, answers_alone, output_of

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")

LONG = Request(("long = 1\n" * 20,), 4, client="reader", document="a.py")
SHORT = Request(("def wrap(",), 3, client="other", document="b.py")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = checkpoints.gpt_bigcode(tmp_path_factory.mktemp("pauses") / "base", n_embd=128, n_head=2, n_layer=4)
    loaded = load(Model(name=str(folder), device="cpu", threads=1), lambda *_: None)
    loaded.runner.chunk_tokens, loaded.runner.token_ms = 64, 1e3  # every layer is a slice
    return loaded


class PausingScheduler(StepScheduler):
    """Calls ``on_pause`` with the number of the pause before what the batcher does in it."""

    def __init__(self, loaded: LoadedModel, on_pause: Callable[[int], object]) -> None:
        super().__init__(loaded)
        self.pauses, exact = 0, self.batcher._run_meanwhile

        def run_meanwhile(leader: ScheduledRequest) -> None:
            self.pauses += 1
            on_pause(self.pauses)
            exact(leader)

        self.batcher._run_meanwhile = run_meanwhile  # type: ignore[method-assign]


def test_more_urgent_request_is_answered_in_the_pause_after_it_arrived(loaded: LoadedModel) -> None:
    short: list[ScheduledRequest] = []
    scheduler = PausingScheduler(loaded, lambda number: short.append(scheduler.submit(SHORT)) if number == 2 else None)
    reader = scheduler.submit(LONG, is_prefill=True)
    scheduler.run(1)
    assert scheduler.finished == short, "within the first pass of the reader"
    assert scheduler.pauses == 3
    assert output_of(short[0]).answers() == answers_alone(loaded, SHORT)
    scheduler.run()
    assert reader in scheduler.finished
    answer = scheduler.submit(LONG)
    scheduler.run()
    assert output_of(answer).answers() == answers_alone(loaded, LONG), "the cache is that of an undisturbed pass"


def test_requests_of_equal_priority_share_one_pass_in_each_pause(loaded: LoadedModel) -> None:
    counts: list[int] = []
    others: list[ScheduledRequest] = []

    def count_passes(_number: int) -> None:
        counts.append(sum(other.last_pass_number > 0 for other in others) and others[0].last_pass_number)

    scheduler = PausingScheduler(loaded, count_passes)
    others += [scheduler.submit(Request((f"x{n} = ",), 40, client=f"c{n}")) for n in range(2)]
    scheduler.run(3)
    reader = scheduler.submit(LONG)
    while not scheduler.pauses:
        scheduler.run(1)
    assert scheduler.pauses == 3
    assert counts[0] < counts[1] < counts[2]
    scheduler.run()
    for request in (reader, *others):
        assert output_of(request).answers() == answers_alone(loaded, request.request)


def test_pauses_start_no_more_requests_than_passes_do(loaded: LoadedModel) -> None:
    most = 0

    def count(_number: int) -> None:
        nonlocal most
        most = max(most, sum(request.steps is not None for request in scheduler.queue._requests))

    scheduler = PausingScheduler(loaded, count)
    for n in range(2 * MAX_STARTED_REQUESTS):
        scheduler.submit(Request((f"x{n} = 1\n" * 20,), 1, client=f"c{n}"))
    scheduler.run(2)
    assert most == MAX_STARTED_REQUESTS
    scheduler.run()
    assert len(scheduler.finished) == 2 * MAX_STARTED_REQUESTS


def test_request_about_the_same_document_waits_for_the_slot(loaded: LoadedModel) -> None:
    key: list[ScheduledRequest] = []
    same = Request((*LONG.parts, "x"), 2, client="reader", document="a.py")
    scheduler = PausingScheduler(loaded, lambda number: key.append(scheduler.submit(same)) if number == 1 else None)
    scheduler.submit(LONG, is_prefill=True)
    scheduler.run(1)
    assert scheduler.finished == []
    assert key[0].steps is None
    scheduler.run()
    assert output_of(key[0]).answers() == answers_alone(loaded, same)


def test_reader_cancelled_in_a_pause_keeps_what_its_pass_reads(loaded: LoadedModel) -> None:
    scheduler = PausingScheduler(loaded, lambda _: reader.request.cancel.set())
    reader = scheduler.submit(LONG)
    scheduler.submit(Request(SHORT.parts, 3, client="other", priority=Priority.EXPLANATION))
    scheduler.run()
    assert output_of(reader).recorded_chunks[-1].finish_reason is FinishReason.CANCELLED
    (slot,) = [slot for slot in scheduler.state.prefix_cache._idle if slot.client == "reader"]
    assert slot.cache.length == len(slot.ids) == 64


def test_cancelled_request_ends_in_the_next_pause(loaded: LoadedModel) -> None:
    explanation = Request(SHORT.parts, 30, client="other", priority=Priority.EXPLANATION)
    scheduler = PausingScheduler(loaded, lambda number: number == 2 and other.request.cancel.set())
    other = scheduler.submit(explanation)
    scheduler.run(3)
    scheduler.submit(LONG)
    scheduler.run(1)
    assert scheduler.pauses == 3
    assert scheduler.finished == [other]
    assert output_of(other).recorded_chunks[-1].finish_reason is FinishReason.CANCELLED


def test_no_request_runs_in_a_pause_after_the_queue_is_closed(loaded: LoadedModel) -> None:
    def submit_and_close(number: int) -> None:
        if number == 1:
            scheduler.submit(SHORT)
            scheduler.queue.close()

    scheduler = PausingScheduler(loaded, submit_and_close)
    scheduler.submit(LONG, is_prefill=True)
    scheduler.run(1)
    assert scheduler.pauses == 3
    assert scheduler.finished == []


def test_control_task_waits_for_the_end_of_the_pass(loaded: LoadedModel) -> None:
    pauses: list[int] = []
    task = ScheduledRequest(Request((), 0), RecordedOutput(), control_task=lambda: pauses.append(scheduler.pauses))
    scheduler = PausingScheduler(loaded, lambda number: scheduler.queue.add(task) if number == 1 else None)
    scheduler.submit(LONG, is_prefill=True)
    scheduler.run(2)
    assert pauses == [3]


def test_failure_in_a_pause_ends_only_its_request(loaded: LoadedModel) -> None:
    def fail(_text: str) -> int:
        raise ValueError("a broken stop rule")

    broken = Request(SHORT.parts, 3, stop=fail, client="other")
    scheduler = PausingScheduler(loaded, lambda number: scheduler.submit(broken) and None if number == 1 else None)
    reader = scheduler.submit(LONG, is_prefill=True)
    scheduler.run()
    (failed,) = [request for request in scheduler.finished if request is not reader]
    assert output_of(failed).error is not None
    assert output_of(reader).error is None
