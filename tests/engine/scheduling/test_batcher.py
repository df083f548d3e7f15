"""Batched requests have the answers that each has alone; mutants that break this change answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapter_fixtures
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.runner.bigcode_cpu import BigCodeCpu
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.engine.scheduling import batcher
from starcoder_ls.engine.scheduling.batcher import MAX_SHARED_PASS_TOKENS, MAX_STARTED_REQUESTS
from starcoder_ls.engine.scheduling.request_queue import ScheduledRequest
from starcoder_ls.errors import EngineError, StarcoderError
from starcoder_ls.generation import FinishReason, Priority, Request
from step_scheduler import TEXT, StepScheduler, answers_alone, output_of, requests_about_text

FREE = (1.0,) * 8  # eight tokens cost what one costs: all drafts are tried
DRAFTED = Request((TEXT,), 24)


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(starcoder)


@dataclass
class Watch:
    """The passes of the model: the number of tokens of each cache, and the caches."""

    seen: list[list[int]]
    caches: list[list[KvCache]]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch([], [])
    exact = ModelRunner.run_batch

    def run_batch(runner: ModelRunner, passes: Sequence[ForwardPass], *rest: Any) -> list[Logits]:
        watch.seen.append([forward_pass.tokens for forward_pass in passes])
        watch.caches.append([forward_pass.cache for forward_pass in passes])
        return exact(runner, passes, *rest)

    monkeypatch.setattr(ModelRunner, "run_batch", run_batch)
    return watch


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.tuples(
            st.integers(0, 12), requests_about_text(2, (Priority.COMPLETION, Priority.COMPLETION, Priority.EXPLANATION))
        ),
        min_size=2,
        max_size=6,
    ),
    costs=st.sampled_from([(), FREE]),
)
def test_batched_requests_answer_as_each_does_alone(
    requests: list[tuple[int, Request]], costs: tuple[float, ...], loaded: LoadedModel
) -> None:
    """Requests arrive at any step, some with sampling, three candidates or drafts; twice over the same slots."""
    loaded.runner.pass_costs = ()
    expected = [answers_alone(loaded, request) for _, request in requests]
    loaded.runner.pass_costs = costs
    scheduler = StepScheduler(loaded)
    for _ in range(2):
        scheduled, late = [], sorted(range(len(requests)), key=lambda at: requests[at][0])
        order = list(late)
        for now in range(13):
            while late and requests[late[0]][0] <= now:
                scheduled.append(scheduler.submit(requests[late.pop(0)][1]))
            scheduler.run(1)
        scheduler.run()
        assert [output_of(entry).answers() for entry in scheduled] == [expected[at] for at in order]


@pytest.mark.parametrize("family", ["santacoder", "llama", "qwen2", "starcoder2"])
@pytest.mark.parametrize("can_share", [True, False])
def test_other_families_answer_alike_with_and_without_batches(
    family: str, can_share: bool, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel], watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    loaded = doubled(request.getfixturevalue(family))
    loaded.runner.pass_costs = FREE
    monkeypatch.setattr(ModelRunner, "can_batch", can_share)
    requests = [Request((TEXT[start:],), 20, client=str(start)) for start in (0, 9, 30)]
    scheduler = StepScheduler(loaded)
    scheduled = [scheduler.submit(one) for one in requests]
    scheduler.run()
    assert [output_of(entry).answers() for entry in scheduled] == [answers_alone(loaded, one) for one in requests]
    assert max(map(len, watch.seen)) == (3 if can_share else 1)


@pytest.fixture(scope="module")
def adapters_and_answers(
    starcoder: Path, tmp_path_factory: pytest.TempPathFactory, doubled: Callable[..., LoadedModel]
) -> Any:
    folders = adapter_fixtures.save_adapter_of_each_method(starcoder, tmp_path_factory.mktemp("methods"))
    loaded = doubled(starcoder, 16, folders)
    answers = {name: answers_alone(loaded, Request((TEXT,), 16, adapter=name)) for name in (None, *folders)}
    assert len({str(answer) for answer in answers.values()}) == len(answers), "each has another answer"
    return loaded, answers


def batch_answers_equal(
    loaded: LoadedModel, answers: dict[str | None, Any], state: GenerationState | None = None
) -> bool:
    """Whether two requests on every adapter, submitted at once and twice, answer as alone."""
    scheduler, rng = StepScheduler(loaded, state), random.Random(0)
    for _ in range(2):
        names = [*answers, *answers]
        rng.shuffle(names)
        scheduled = [
            scheduler.submit(Request((TEXT,), 16, adapter=name, client=str(number)))
            for number, name in enumerate(names)
        ]
        scheduler.run()
        if [output_of(entry).answers() for entry in scheduled] != [answers[name] for name in names]:
            return False
    return True


def test_requests_on_several_adapters_answer_as_each_does_alone(adapters_and_answers: Any, watch: Watch) -> None:
    assert batch_answers_equal(*adapters_and_answers)
    assert max(map(len, watch.seen)) > 2, "prompt adapters share the base's passes, the others those of their own"


class AdapterBlindPrefixCache(PrefixCache):
    """A mutant whose slots ignore the adapter that their keys and values belong to."""

    @contextmanager
    def acquire(
        self, prompt: Any, room: int, adapter_key: Any = None, virtual_tokens: int = 0, is_prefetch: bool = False
    ) -> Iterator[Any]:
        del adapter_key
        with super().acquire(prompt, room, None, virtual_tokens, is_prefetch) as slot:
            yield slot


def test_mutant_with_another_adapters_slot_fails(adapters_and_answers: Any) -> None:
    loaded, answers = adapters_and_answers
    assert not batch_answers_equal(
        loaded, answers, GenerationState(loaded, AdapterBlindPrefixCache(loaded.runner.layers))
    )


def test_mutant_with_another_adapters_layers_fails(adapters_and_answers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "_layers_key", lambda _request: None)
    assert not batch_answers_equal(*adapters_and_answers)


def mutant_position_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = BigCodeCpu._positions
    later = lambda part: replace(part, start=part.start + 1, end=part.end + 1)  # noqa: E731
    monkeypatch.setattr(
        BigCodeCpu, "_positions", lambda reader, parts: exact(reader, [*parts[:1], *map(later, parts[1:])])
    )


def mutant_mask_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draft attends to the one after it."""
    exact = BigCodeCpu._causal_mask
    monkeypatch.setattr(
        BigCodeCpu, "_causal_mask", lambda reader, time, start, like: exact(reader, time + 1, start, like)[1:, :-1]
    )


def mutant_stale_rejected_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)


def mutant_cache_of_neighbor(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = BigCodeCpu.hidden_states

    def swapped(reader: BigCodeCpu, several: Any) -> list[torch.Tensor]:
        caches = [cache for _, cache in several]
        ids = [ids for ids, _ in several]
        return exact(reader, list(zip(ids, caches[1:] + caches[:1], strict=True)))

    monkeypatch.setattr(BigCodeCpu, "hidden_states", swapped)


def mutant_logits_of_neighbor(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = ModelRunner.run_batch

    def rolled(runner: ModelRunner, passes: list[ForwardPass], *rest: Any) -> list[Logits]:
        answers = exact(runner, passes, *rest)
        return answers[1:] + answers[:1]

    monkeypatch.setattr(ModelRunner, "run_batch", rolled)


def mutant_last_key_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last token of a batched request has no key."""
    exact = ModelRunner.run_batch

    def forgetful(runner: ModelRunner, passes: list[ForwardPass], *rest: Any) -> list[Logits]:
        answers = exact(runner, passes, *rest)
        for layer in passes[-1].cache._kv_layers:
            storage = layer.storage
            assert storage is not None
            with torch.inference_mode():
                storage[0][:, :, layer.get_seq_length() - 1].zero_()
        return answers

    monkeypatch.setattr(ModelRunner, "run_batch", forgetful)


@pytest.mark.parametrize(
    "mutant",
    [
        mutant_position_plus_one,
        mutant_mask_plus_one,
        mutant_stale_rejected_drafts,
        mutant_cache_of_neighbor,
        mutant_logits_of_neighbor,
        mutant_last_key_missing,
    ],
)
def test_mutant_of_a_batched_pass_changes_answers(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [Request((TEXT * 2,), 24, client="a"), Request((TEXT[9:] * 2,), 24, client="b"), DRAFTED]
    expected = [answers_alone(loaded, request) for request in requests]
    loaded.runner.pass_costs = FREE

    def answers() -> list[Any]:
        scheduler = StepScheduler(loaded)
        for request, ((_, ids, _),) in zip(requests, expected, strict=True):
            half_right = [id_ if at % 4 else 30 + at for at, id_ in enumerate(ids)]
            scheduler.state.draft_history.add(loaded.tokenizer.encode(request.parts), half_right)
        scheduled = [scheduler.submit(request) for request in requests]
        scheduler.run()
        return [output_of(entry).answers() for entry in scheduled]

    with monkeypatch.context() as patched:
        mutant(patched)
        assert answers() != expected
    assert answers() == expected, "without the mutant: drafts and all"


def submit_and_prefill(
    scheduler: StepScheduler, count: int, tokens: int = 12, **changes: Any
) -> list[ScheduledRequest]:
    """Requests of ``count`` clients, stepped until their prompts have been read."""
    scheduled = [scheduler.submit(Request((TEXT[n:],), tokens, client=str(n), **changes)) for n in range(count)]
    while any(len(output_of(entry).recorded_chunks) == 0 for entry in scheduled):
        scheduler.run(1)
    return scheduled


def test_equal_requests_take_as_many_passes_as_one(loaded: LoadedModel, watch: Watch) -> None:
    scheduled = [Request((TEXT[n:],), 12, client=str(n)) for n in range(4)]
    scheduler = StepScheduler(loaded)
    for request in scheduled:
        scheduler.submit(request, is_prefill=True)
    scheduler.run()
    watch.seen.clear()
    for request in scheduled:
        scheduler.submit(request)
    scheduler.run()
    assert watch.seen == [[1] * 4] * 12


def test_batch_has_no_more_tokens_than_its_limit(loaded: LoadedModel, watch: Watch) -> None:
    loaded.runner.chunk_tokens = 9
    scheduler = StepScheduler(loaded)
    scheduled = submit_and_prefill(scheduler, 12, 40)
    before = [len(output_of(entry).recorded_chunks) for entry in scheduled]
    scheduler.run(16)
    gained = sorted(len(output_of(entry).recorded_chunks) - old for entry, old in zip(scheduled, before, strict=True))
    assert gained[-2] - gained[0] <= 2, "the other slots of the batch rotate between clients"
    assert sum(gained) == 16 * 9
    scheduler.run()
    assert max(sum(tokens) for tokens in watch.seen if len(tokens) > 1) == 9
    assert all(tokens <= MAX_SHARED_PASS_TOKENS for round_ in watch.seen for tokens in round_ if len(round_) > 1)


def test_waiting_requests_hold_no_slot(loaded: LoadedModel) -> None:
    scheduler = StepScheduler(loaded)
    for n in range(3 * MAX_STARTED_REQUESTS):
        scheduler.submit(Request((TEXT[n % 30 :],), 60, client=str(n)))
    most = 0
    while not scheduler.queue.is_idle():
        scheduler.run(1)
        most = max(most, sum(entry.steps is not None for entry in scheduler.queue._requests))
    assert MAX_STARTED_REQUESTS <= most <= MAX_STARTED_REQUESTS + 3
    assert len(scheduler.finished) == 3 * MAX_STARTED_REQUESTS


def test_completion_waits_only_for_the_running_pass(loaded: LoadedModel, watch: Watch) -> None:
    scheduler = StepScheduler(loaded)
    explanations = submit_and_prefill(scheduler, 4, 60, priority=Priority.EXPLANATION)
    before = [len(output_of(entry).recorded_chunks) for entry in explanations]
    watch.seen.clear()
    short = scheduler.submit(Request(("x",), 3))
    while short not in scheduler.finished:
        scheduler.run(1)
    assert [len(output_of(entry).recorded_chunks) for entry in explanations] == before
    assert all(len(tokens) == 1 for tokens in watch.seen), "nor does it share one with them"


def test_cancelled_request_is_not_part_of_the_next_pass(loaded: LoadedModel, watch: Watch) -> None:
    scheduler = StepScheduler(loaded)
    scheduled = submit_and_prefill(scheduler, 4, 40)
    scheduler.run(2)
    watch.seen.clear()
    scheduled[2].request.cancel.set()
    scheduler.run(1)
    assert scheduler.finished == [scheduled[2]]
    assert output_of(scheduled[2]).recorded_chunks[-1].finish_reason is FinishReason.CANCELLED
    scheduler.run(1)
    assert watch.seen == [[1] * 3]
    expected = [answers_alone(loaded, entry.request) for entry in (scheduled[0], scheduled[1], scheduled[3])]
    scheduler.run()
    assert [output_of(entry).answers() for entry in (scheduled[0], scheduled[1], scheduled[3])] == expected


def test_prefix_read_by_a_cancelled_request_stays_cached(loaded: LoadedModel) -> None:
    """Also if it waited for a pass that was not run: the slot claims no token of that pass."""
    scheduler = StepScheduler(loaded)
    (other,) = submit_and_prefill(scheduler, 1, 30)
    reader = scheduler.submit(Request(("long = 1\n" * 20,), 8, client="reader"))
    while reader.next_pass is None:
        scheduler.run(1)
    scheduler.run(2)
    assert reader.next_pass is not None
    reader.request.cancel.set()
    scheduler.run()
    (slot,) = [slot for slot in scheduler.state.prefix_cache._idle if slot.client == "reader"]
    assert slot.cache.length == len(slot.ids) > 0
    assert slot.ids == loaded.tokenizer.encode(["long = 1\n" * 20])[: len(slot.ids)]
    assert output_of(other).answers() == answers_alone(loaded, other.request)


def test_long_prompt_and_decoding_requests_take_turns(loaded: LoadedModel, watch: Watch) -> None:
    scheduler = StepScheduler(loaded)
    submit_and_prefill(scheduler, 3, 60)
    watch.seen.clear()
    reader = scheduler.submit(Request(("long = 1\n" * 20,), 4, client="reader"))
    while not output_of(reader).recorded_chunks:
        scheduler.run(1)
    chunks = [tokens == [loaded.runner.chunk_tokens] for tokens in watch.seen]
    assert sum(chunks) >= 3
    assert all(before != after for before, after in pairwise(chunks[:-1])), "one, then the other"
    assert len(watch.seen[-2]) == 4, "the last few tokens of the prompt are read along"


def test_second_request_of_a_document_waits_for_its_slot(loaded: LoadedModel) -> None:
    scheduler = StepScheduler(loaded)
    first = scheduler.submit(Request((TEXT,), 8, document="a", client="me"))
    second = scheduler.submit(Request((TEXT,), 8, document="a", client="me"))
    scheduler.run()
    timings = output_of(second).recorded_chunks[-1].timings
    assert timings is not None
    assert timings.reused_tokens == timings.prompt_tokens - 1
    assert output_of(first).answers() == output_of(second).answers()


def test_failure_in_a_batched_pass_ends_only_its_request(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = StepScheduler(loaded)
    scheduled = submit_and_prefill(scheduler, 3, 20)
    expected = [answers_alone(loaded, entry.request) for entry in scheduled]
    cursed: list[KvCache] = []
    exact = KvCache.writable_storage

    def failing(cache: KvCache, *shape: Any) -> Any:
        if not cursed:
            cursed.append(cache)
        if cache is cursed[0]:
            raise ZeroDivisionError
        return exact(cache, *shape)

    monkeypatch.setattr(KvCache, "writable_storage", failing)
    scheduler.run()
    failed = [entry for entry in scheduled if output_of(entry).error is not None]
    assert len(failed) == 1
    assert isinstance(output_of(failed[0]).error, EngineError)
    assert isinstance(output_of(failed[0]).error, StarcoderError)
    assert len(scheduler.state.prefix_cache._idle) == 2, "the slot of the one that failed is dropped"
    for entry, right in zip(scheduled, expected, strict=True):
        assert entry in failed or output_of(entry).answers() == right


def test_failing_stop_rule_ends_only_its_request(loaded: LoadedModel) -> None:
    def broken(text: str) -> int | None:
        raise ZeroDivisionError(text)

    scheduler = StepScheduler(loaded)
    failing = scheduler.submit(Request((TEXT,), 8, stop=broken, client="a"))
    fine = scheduler.submit(Request((TEXT,), 8, client="b"))
    scheduler.run()
    assert isinstance(output_of(failing).error, EngineError)
    assert output_of(fine).answers() == answers_alone(loaded, fine.request)


def test_batch_size_is_known_to_the_acceptance_rates(loaded: LoadedModel) -> None:
    scheduler = StepScheduler(loaded)
    submit_and_prefill(scheduler, 5)
    assert scheduler.state.draft_history.rates.batch_size > 1
    scheduler.run()
    scheduler.submit(Request((TEXT,), 2))
    scheduler.run()
    assert scheduler.state.draft_history.rates.batch_size == 1
