"""Requests together answer as each does alone, whoever else is there; what would break that is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapters as made
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache
from starcoder_ls.engine.loading.load_model import Loaded
from starcoder_ls.engine.runner import forward_pass, model_forward
from starcoder_ls.engine.runner.bigcode_cpu import BigCodeCpu
from starcoder_ls.engine.runner.forward_pass import ForwardPass
from starcoder_ls.engine.runner.logits import Logits
from starcoder_ls.engine.scheduling import batcher
from starcoder_ls.engine.scheduling.batcher import MOST_BEGUN, SHORT_TOKENS
from starcoder_ls.engine.scheduling.request_queue import ScheduledRequest
from starcoder_ls.errors import EngineError, StarcoderError
from starcoder_ls.generation import FinishReason, Priority, Request
from table import TEXT, Table, alone, asked, heard

FREE = (1.0,) * 8  # eight tokens cost what one costs: all drafts are tried
DRAFTED = Request((TEXT,), 24)


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[[Path], Loaded]) -> Loaded:
    return doubled(starcoder)


@dataclass
class Watch:
    """The passes of the model, each as the tokens that every cache brought."""

    seen: list[list[int]]
    caches: list[list[KvCache]]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch([], [])
    one, several = forward_pass.run, forward_pass.run_together

    def run(model: Any, wanted: ForwardPass) -> Logits:
        watch.seen.append([wanted.tokens])
        watch.caches.append([wanted.cache])
        return one(model, wanted)

    def run_together(model: Any, all_: list[ForwardPass]) -> list[Logits]:
        watch.seen.append([wanted.tokens for wanted in all_])
        watch.caches.append([wanted.cache for wanted in all_])
        return several(model, all_)

    monkeypatch.setattr(batcher, "run", run)
    monkeypatch.setattr(batcher, "run_together", run_together)
    return watch


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.tuples(st.integers(0, 12), asked(2, (Priority.COMPLETION, Priority.COMPLETION, Priority.EXPLANATION))),
        min_size=2,
        max_size=6,
    ),
    costs=st.sampled_from([(), FREE]),
)
def test_requests_together_answer_as_each_alone(
    requests: list[tuple[int, Request]], costs: tuple[float, ...], loaded: Loaded
) -> None:
    """They come when they like, some sampled, some of three candidates, with drafts and without, twice over the same
    slots, whose keys and values stay behind."""
    loaded.pass_costs = ()
    expected = [alone(loaded, request) for _, request in requests]
    loaded.pass_costs = costs
    table = Table(loaded)
    for _ in range(2):
        jobs, late = [], sorted(range(len(requests)), key=lambda at: requests[at][0])
        order = list(late)
        for now in range(13):
            while late and requests[late[0]][0] <= now:
                jobs.append(table.ask(requests[late.pop(0)][1]))
            table.play(1)
        table.play()
        assert [heard(job).said() for job in jobs] == [expected[at] for at in order]


@pytest.mark.parametrize("family", ["santacoder", "llama", "qwen2", "starcoder2"])
@pytest.mark.parametrize("can_share", [True, False])
def test_so_do_those_of_other_families_and_without_sharing(
    family: str, can_share: bool, request: pytest.FixtureRequest, doubled: Callable[..., Loaded], watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    loaded = doubled(request.getfixturevalue(family))
    loaded.pass_costs = FREE
    monkeypatch.setattr(model_forward, "can_read_together", lambda _model: can_share)
    requests = [Request((TEXT[start:],), 20, client=str(start)) for start in (0, 9, 30)]
    table = Table(loaded)
    jobs = [table.ask(one) for one in requests]
    table.play()
    assert [heard(job).said() for job in jobs] == [alone(loaded, one) for one in requests]
    assert max(map(len, watch.seen)) == (3 if can_share else 1)


@pytest.fixture(scope="module")
def crowd(starcoder: Path, tmp_path_factory: pytest.TempPathFactory, doubled: Callable[..., Loaded]) -> Any:
    folders = made.of_every_method(starcoder, tmp_path_factory.mktemp("methods"))
    loaded = doubled(starcoder, 16, folders)
    answers = {name: alone(loaded, Request((TEXT,), 16, adapter=name)) for name in (None, *folders)}
    assert len({str(answer) for answer in answers.values()}) == len(answers), "each says something else"
    return loaded, answers


def crowded(loaded: Loaded, answers: dict[str | None, Any], slots: PrefixCache | None = None) -> bool:
    """Whether two requests on every adapter, all at once and twice, answer as alone."""
    table, rng = Table(loaded, slots), random.Random(0)
    for _ in range(2):
        names = [*answers, *answers]
        rng.shuffle(names)
        jobs = [table.ask(Request((TEXT,), 16, adapter=name, client=str(number))) for number, name in enumerate(names)]
        table.play()
        if [heard(job).said() for job in jobs] != [answers[name] for name in names]:
            return False
    return True


def test_adapters_at_once_answer_as_each_alone(crowd: Any, watch: Watch) -> None:
    assert crowded(*crowd)
    assert max(map(len, watch.seen)) > 2, "prompt adapters share the base's passes, the others those of their own"


class BlindSlots(PrefixCache):
    """A mutation: slots that do not care whose keys and values they hold."""

    @contextmanager
    def acquire(
        self, prompt: Any, room: int, adapter_key: Any = None, virtual_tokens: int = 0, is_prefetch: bool = False
    ) -> Iterator[Any]:
        del adapter_key
        with super().acquire(prompt, room, None, virtual_tokens, is_prefetch) as slot:
            yield slot


def test_another_adapters_slot_is_found_out(crowd: Any) -> None:
    loaded, answers = crowd
    assert not crowded(loaded, answers, BlindSlots(loaded.layers))


def test_another_adapters_layers_are_found_out(crowd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "_layers", lambda _job: None)
    assert not crowded(*crowd)


def position_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = BigCodeCpu._positions
    later = lambda part: replace(part, start=part.start + 1, end=part.end + 1)  # noqa: E731
    monkeypatch.setattr(
        BigCodeCpu, "_positions", lambda reader, parts: exact(reader, [*parts[:1], *map(later, parts[1:])])
    )


def mask_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draft sees the one after it."""
    exact = BigCodeCpu._mask
    monkeypatch.setattr(
        BigCodeCpu, "_mask", lambda reader, time, start, like: exact(reader, time + 1, start, like)[1:, :-1]
    )


def stale_rejected_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)


def neighbours_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = BigCodeCpu.together

    def swapped(reader: BigCodeCpu, several: Any) -> list[torch.Tensor]:
        caches = [cache for _, cache in several]
        ids = [ids for ids, _ in several]
        return exact(reader, list(zip(ids, caches[1:] + caches[:1], strict=True)))

    monkeypatch.setattr(BigCodeCpu, "together", swapped)


def neighbours_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = batcher.run_together

    def rolled(model: Any, several: list[ForwardPass]) -> list[Logits]:
        answers = exact(model, several)
        return answers[1:] + answers[:1]

    monkeypatch.setattr(batcher, "run_together", rolled)


def unseen_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever shared a pass finds its last token not there."""
    exact = batcher.run_together

    def forgetful(model: Any, several: list[ForwardPass]) -> list[Logits]:
        answers = exact(model, several)
        for layer in several[-1].cache._kv_layers:
            storage = layer.storage
            assert storage is not None
            with torch.inference_mode():
                storage[0][:, :, layer.get_seq_length() - 1].zero_()
        return answers

    monkeypatch.setattr(batcher, "run_together", forgetful)


@pytest.mark.parametrize(
    "mutant",
    [position_one_on, mask_one_on, stale_rejected_drafts, neighbours_cache, neighbours_logits, unseen_keys],
)
def test_a_shared_pass_that_is_wrong_by_one_is_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [Request((TEXT * 2,), 24, client="a"), Request((TEXT[9:] * 2,), 24, client="b"), DRAFTED]
    expected = [alone(loaded, request) for request in requests]
    loaded.pass_costs = FREE

    def answers() -> list[Any]:
        table = Table(loaded)
        for request, ((_, ids, _),) in zip(requests, expected, strict=True):
            half_right = [id_ if at % 4 else 30 + at for at, id_ in enumerate(ids)]
            table.slots.answers.add(loaded.tokenizer.encode(request.parts), half_right)
        jobs = [table.ask(request) for request in requests]
        table.play()
        return [heard(job).said() for job in jobs]

    with monkeypatch.context() as patched:
        mutant(patched)
        assert answers() != expected
    assert answers() == expected, "without the mutant: drafts and all"


def decoding(table: Table, count: int, tokens: int = 12, **changes: Any) -> list[ScheduledRequest]:
    """Requests of as many clients whose prompts are read."""
    jobs = [table.ask(Request((TEXT[n:],), tokens, client=str(n), **changes)) for n in range(count)]
    while any(len(heard(job).chunks_told) == 0 for job in jobs):
        table.play(1)
    return jobs


def test_several_requests_take_the_passes_of_one(loaded: Loaded, watch: Watch) -> None:
    jobs = [Request((TEXT[n:],), 12, client=str(n)) for n in range(4)]
    table = Table(loaded)
    for request in jobs:
        table.ask(request, is_prefill=True)
    table.play()
    watch.seen.clear()
    for request in jobs:
        table.ask(request)
    table.play()
    assert watch.seen == [[1] * 4] * 12


def test_a_pass_is_shared_by_no_more_than_fits(loaded: Loaded, watch: Watch) -> None:
    loaded.chunk_tokens = 9
    table = Table(loaded)
    jobs = decoding(table, 12, 40)
    before = [len(heard(job).chunks_told) for job in jobs]
    table.play(16)
    gained = sorted(len(heard(job).chunks_told) - old for job, old in zip(jobs, before, strict=True))
    assert gained[-2] - gained[0] <= 2, "the places beside whoever has the turn go round"
    assert sum(gained) == 16 * 9
    table.play()
    assert max(sum(tokens) for tokens in watch.seen if len(tokens) > 1) == 9
    assert all(tokens <= SHORT_TOKENS for round_ in watch.seen for tokens in round_ if len(round_) > 1)


def test_those_that_wait_hold_no_slot(loaded: Loaded) -> None:
    table = Table(loaded)
    for n in range(3 * MOST_BEGUN):
        table.ask(Request((TEXT[n % 30 :],), 60, client=str(n)))
    most = 0
    while not table.jobs.is_idle():
        table.play(1)
        most = max(most, sum(job.work is not None for job in table.jobs._jobs))
    assert MOST_BEGUN <= most <= MOST_BEGUN + 3
    assert len(table.ended) == 3 * MOST_BEGUN


def test_a_completion_waits_for_no_more_than_the_pass_that_runs(loaded: Loaded, watch: Watch) -> None:
    table = Table(loaded)
    explanations = decoding(table, 4, 60, priority=Priority.EXPLANATION)
    before = [len(heard(job).chunks_told) for job in explanations]
    watch.seen.clear()
    short = table.ask(Request(("x",), 3))
    while short not in table.ended:
        table.play(1)
    assert [len(heard(job).chunks_told) for job in explanations] == before
    assert all(len(tokens) == 1 for tokens in watch.seen), "nor does it share one with them"


def test_who_is_cancelled_leaves_before_the_next_pass(loaded: Loaded, watch: Watch) -> None:
    table = Table(loaded)
    jobs = decoding(table, 4, 40)
    table.play(2)
    watch.seen.clear()
    jobs[2].request.cancel.set()
    table.play(1)
    assert table.ended == [jobs[2]]
    assert heard(jobs[2]).chunks_told[-1].finish_reason is FinishReason.CANCELLED
    table.play(1)
    assert watch.seen == [[1] * 3]
    expected = [alone(loaded, job.request) for job in (jobs[0], jobs[1], jobs[3])]
    table.play()
    assert [heard(job).said() for job in (jobs[0], jobs[1], jobs[3])] == expected


def test_what_a_cancelled_one_had_read_is_kept(loaded: Loaded) -> None:
    """Also where it had asked for a pass that was not run: the slot claims no token of it."""
    table = Table(loaded)
    (other,) = decoding(table, 1, 30)
    reader = table.ask(Request(("long = 1\n" * 20,), 8, client="reader"))
    while reader.wanted is None:
        table.play(1)
    table.play(2)
    assert reader.wanted is not None
    reader.request.cancel.set()
    table.play()
    (slot,) = [slot for slot in table.slots._idle if slot.client == "reader"]
    assert slot.cache.length == len(slot.ids) > 0
    assert slot.ids == loaded.tokenizer.encode(["long = 1\n" * 20])[: len(slot.ids)]
    assert heard(other).said() == alone(loaded, other.request)


def test_a_long_prompt_and_those_who_decode_take_turns(loaded: Loaded, watch: Watch) -> None:
    table = Table(loaded)
    decoding(table, 3, 60)
    watch.seen.clear()
    reader = table.ask(Request(("long = 1\n" * 20,), 4, client="reader"))
    while not heard(reader).chunks_told:
        table.play(1)
    chunks = [tokens == [loaded.chunk_tokens] for tokens in watch.seen]
    assert sum(chunks) >= 3
    assert all(before != after for before, after in pairwise(chunks[:-1])), "one, then the other"
    assert len(watch.seen[-2]) == 4, "the last few tokens of the prompt are read along"


def test_two_requests_about_one_document_do_not_compete_for_its_slot(loaded: Loaded) -> None:
    table = Table(loaded)
    first = table.ask(Request((TEXT,), 8, document="a", client="me"))
    second = table.ask(Request((TEXT,), 8, document="a", client="me"))
    table.play()
    timings = heard(second).chunks_told[-1].timings
    assert timings is not None
    assert timings.reused_tokens == timings.prompt_tokens - 1
    assert heard(first).said() == heard(second).said()


def test_a_failure_within_a_shared_pass_ends_its_own_request_only(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(loaded)
    jobs = decoding(table, 3, 20)
    expected = [alone(loaded, job.request) for job in jobs]
    cursed: list[KvCache] = []
    exact = KvCache.writable_storage

    def failing(cache: KvCache, rows: int, end: int, like: torch.Tensor, dim: int) -> Any:
        if not cursed:
            cursed.append(cache)
        if cache is cursed[0]:
            raise ZeroDivisionError
        return exact(cache, rows, end, like, dim)

    monkeypatch.setattr(KvCache, "writable_storage", failing)
    table.play()
    failed = [job for job in jobs if heard(job).error is not None]
    assert len(failed) == 1
    assert isinstance(heard(failed[0]).error, EngineError)
    assert isinstance(heard(failed[0]).error, StarcoderError)
    assert len(table.slots._idle) == 2, "the slot of the one that failed is dropped"
    for job, right in zip(jobs, expected, strict=True):
        assert job in failed or heard(job).said() == right


def test_a_stop_rule_that_fails_ends_its_own_request_only(loaded: Loaded) -> None:
    def broken(text: str) -> int | None:
        raise ZeroDivisionError(text)

    table = Table(loaded)
    failing = table.ask(Request((TEXT,), 8, stop=broken, client="a"))
    fine = table.ask(Request((TEXT,), 8, client="b"))
    table.play()
    assert isinstance(heard(failing).error, EngineError)
    assert heard(fine).said() == alone(loaded, fine.request)


def test_drafts_are_dearer_in_company(loaded: Loaded) -> None:
    table = Table(loaded)
    decoding(table, 5)
    assert table.slots.record.sequences > 1
    table.play()
    table.ask(Request((TEXT,), 2))
    table.play()
    assert table.slots.record.sequences == 1
