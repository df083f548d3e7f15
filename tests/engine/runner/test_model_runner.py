"""One pass over several caches gives each the logits that it has alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import manual_decoding
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner.bigcode_cpu import BigCodeCpu
from starcoder_ls.settings import Model

DOUBLE = {"rtol": 0.0, "atol": 1e-9}
IDS = torch.randint(20, 600, (8, 60), generator=torch.Generator().manual_seed(5)).tolist()


FAMILIES = ["starcoder", "santacoder", "starcoder2", "llama", "qwen2"]


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(starcoder)


@pytest.fixture(scope="module", params=FAMILIES)
def any_family(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(request.getfixturevalue(request.param))


def cache_of(loaded: LoadedModel, row: int, read: int, rows: int = 1) -> KvCache:
    """A cache of ``rows`` equal rows with ``read`` tokens of sequence ``row``, followed by stale ones."""
    cache = KvCache(loaded.runner.layers, 8)
    manual_decoding.read(loaded.runner, [IDS[row][:read] + IDS[(row + 1) % 8][:9]], cache)
    cache.truncate(read)
    return cache if rows == 1 else cache.fork(rows, read + 20)


Shape = tuple[int, int, int, LogitsFor]
"""(tokens read, rows, new tokens of each, logits_for)"""

shapes = st.one_of(
    st.tuples(
        st.integers(1, 40), st.integers(1, 3), st.integers(1, 3), st.sampled_from([LogitsFor.LAST, LogitsFor.NONE])
    ),
    st.tuples(st.integers(1, 40), st.just(1), st.integers(1, 19), st.sampled_from(list(LogitsFor))),
)


def build_passes(loaded: LoadedModel, given: list[Shape]) -> list[ForwardPass]:
    return [
        ForwardPass(
            [IDS[(at + 3 * row) % 8][read : read + time] for row in range(rows)],
            cache_of(loaded, at, read, rows),
            logits_for,
        )
        for at, (read, rows, time, logits_for) in enumerate(given)
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_=st.lists(shapes, min_size=1, max_size=6))
def test_batched_passes_have_the_logits_of_each_alone(given_: list[Shape], any_family: LoadedModel) -> None:
    """Also the pass after it, and beyond StarCoder2's window of 16 tokens."""
    loaded = any_family
    assert loaded.runner.can_batch
    single, shared = build_passes(loaded, given_), build_passes(loaded, given_)
    expected = [loaded.runner.run(one) for one in single]
    for one, answer, right in zip(shared, loaded.runner.run_batch(shared), expected, strict=True):
        if one.logits_for is not LogitsFor.NONE:
            torch.testing.assert_close(answer.values, right.values, **DOUBLE)
    for one, other in zip(shared, single, strict=True):
        following = [[7]] * len(one.rows)
        assert one.cache.length == other.cache.length
        after = [loaded.runner.run(ForwardPass(following, cache)).values for cache in (one.cache, other.cache)]
        torch.testing.assert_close(*after, **DOUBLE)


def test_logits_for_selects_the_logits(loaded: LoadedModel) -> None:
    ids = IDS[0][:6]
    both = [
        ForwardPass([ids], KvCache(loaded.runner.layers, 8), logits_for)
        for logits_for in (LogitsFor.LAST, LogitsFor.ALL)
    ]
    one, all_ = (loaded.runner.run(forward_pass).values for forward_pass in both)
    assert (one.shape, all_.shape) == ((1, 640), (6, 640))
    torch.testing.assert_close(one[0], all_[-1], **DOUBLE)


def test_logits_that_are_not_requested_are_not_computed(loaded: LoadedModel) -> None:
    calls: list[int] = []
    loaded.runner.model.get_output_embeddings().register_forward_hook(lambda *its: calls.append(len(its[2])))
    several = build_passes(loaded, [(9, 1, 5, LogitsFor.NONE), (4, 1, 5, LogitsFor.LAST), (6, 1, 2, LogitsFor.ALL)])
    loaded.runner.run_batch(several)
    loaded.runner.run(several[0])
    assert calls == [1 + 2]


def test_all_passes_of_a_batch_took_the_same_time(loaded: LoadedModel) -> None:
    several = build_passes(loaded, [(9, 1, 1, LogitsFor.LAST), (4, 1, 1, LogitsFor.LAST)])
    loaded.runner.run_batch(several)
    assert several[0].took_ms == several[1].took_ms > 0


def mutant_position_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions of all caches but the first are one too high."""
    exact = BigCodeCpu.hidden_states

    def shifted(cpu_pass: BigCodeCpu, several: Any) -> list[torch.Tensor]:
        table = cpu_pass._body.wpe.weight
        hidden = exact(cpu_pass, several[:1])
        cpu_pass._body.wpe.weight = torch.nn.Parameter(table.roll(-1, 0), requires_grad=False)
        try:
            return hidden + (exact(cpu_pass, several[1:]) if several[1:] else [])
        finally:
            cpu_pass._body.wpe.weight = table

    monkeypatch.setattr(BigCodeCpu, "hidden_states", shifted)


def mutant_first_key_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No token attends to the first one."""
    exact = BigCodeCpu._attend

    def short(cpu_pass: BigCodeCpu, projected: Any, storage: Any, mask: torch.Tensor, part: Any) -> torch.Tensor:
        blind = mask.expand(-1, part.end).clone()
        blind[:, 0] = -torch.inf
        return exact(cpu_pass, projected, storage, blind, part)

    monkeypatch.setattr(BigCodeCpu, "_attend", short)


def mutant_cache_of_neighbor(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = BigCodeCpu.hidden_states

    def rolled(cpu_pass: BigCodeCpu, several: Any) -> list[torch.Tensor]:
        caches = [cache for _, cache in several]
        return exact(cpu_pass, list(zip([ids for ids, _ in several], caches[1:] + caches[:1], strict=True)))

    monkeypatch.setattr(BigCodeCpu, "hidden_states", rolled)


@pytest.mark.parametrize("mutant", [mutant_position_plus_one, mutant_first_key_masked, mutant_cache_of_neighbor])
def test_mutant_of_a_batched_pass_changes_logits(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    several: list[Shape] = [(20, 1, 1, LogitsFor.LAST), (31, 1, 1, LogitsFor.LAST), (7, 1, 4, LogitsFor.ALL)]
    expected = [loaded.runner.run(one) for one in build_passes(loaded, several)]
    mutant(monkeypatch)
    shared = loaded.runner.run_batch(build_passes(loaded, several))
    assert any(float((a.values - b.values).abs().max()) > 1e-3 for a, b in zip(shared, expected, strict=True))


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_shipped_types_differ_only_where_two_tokens_are_equally_likely(starcoder: Path, dtype: str) -> None:
    """``auto`` is packed float16 on x86. Differences are in units of the logits' standard deviation."""
    loaded = load(Model(name=str(starcoder), device="cpu", dtype=dtype), lambda *_: None)  # type: ignore[arg-type]
    random_ids = torch.randint(20, 600, (5, 60), generator=torch.Generator().manual_seed(5))
    sequences = [ids[: 40 + 4 * row].tolist() for row, ids in enumerate(random_ids)]
    epsilon = 1e-3
    single, shared = ([KvCache(loaded.runner.layers, 64) for _ in sequences] for _ in range(2))
    for at in range(40):
        alone = torch.cat(
            [manual_decoding.forward(loaded.runner, [[s[at]]], c) for s, c in zip(sequences, single, strict=True)]
        )
        group = [ForwardPass([[s[at]]], c) for s, c in zip(sequences, shared, strict=True)]
        together = torch.cat([answer.values for answer in loaded.runner.run_batch(group)])
        spread = float(alone.std())
        assert float((alone - together).abs().max()) <= epsilon * spread
        for row in (alone.argmax(-1) != together.argmax(-1)).nonzero()[:, 0]:
            best, second = alone[row].topk(2).values.tolist()
            assert best - second <= 2 * epsilon * spread


def prompt(tokens: int, seed: int = 1) -> list[int]:
    return torch.randint(20, 600, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()  # type: ignore[no-any-return]


def test_chunks_and_steps_have_the_logits_of_one_pass(any_family: LoadedModel) -> None:
    """Also beyond StarCoder2's window of 16 tokens."""
    ids = prompt(50)
    with torch.inference_mode():
        expected = any_family.runner.model(torch.tensor([ids])).logits[0]  # [time, vocabulary]
    cache = KvCache(any_family.runner.layers, 64)
    for start, end in ((0, 7), (7, 8), (8, 40), *((i, i + 1) for i in range(40, 50))):
        logits = manual_decoding.forward(any_family.runner, [ids[start:end]], cache)
        assert logits.shape == (1, 640)
        torch.testing.assert_close(logits[0], expected[end - 1], rtol=0, atol=1e-9)


def test_rows_of_a_fork_have_the_logits_of_each_alone(any_family: LoadedModel) -> None:
    ids, tails = prompt(20), [prompt(3, seed) for seed in (2, 3, 4)]
    cache = KvCache(any_family.runner.layers, 20)
    manual_decoding.forward(any_family.runner, [ids], cache)
    together = manual_decoding.forward(any_family.runner, tails, cache.fork(3, 32))
    for row, tail in enumerate(tails):
        alone = manual_decoding.forward(any_family.runner, [ids + tail], KvCache(any_family.runner.layers, 32))
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-9)


def test_truncated_cache_has_the_logits_of_a_fresh_one(any_family: LoadedModel) -> None:
    ids = prompt(30)
    cache = KvCache(any_family.runner.layers, 64)
    manual_decoding.forward(any_family.runner, [ids[:20] + prompt(20, seed=9)], cache)
    cache.truncate(20)
    again = manual_decoding.forward(any_family.runner, [ids[20:]], cache)
    fresh = manual_decoding.forward(any_family.runner, [ids], KvCache(any_family.runner.layers, 64))
    torch.testing.assert_close(again, fresh, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mutant", ["stale", "one too many", "one too few"])
def test_mutant_of_a_truncated_cache_changes_logits(any_family: LoadedModel, mutant: str) -> None:
    """The tests above could fail: the logits of these checkpoints depend on every token that is read."""
    ids = prompt(30)
    cache = KvCache(any_family.runner.layers, 64)
    manual_decoding.forward(any_family.runner, [ids[:20] + prompt(20, seed=9)], cache)
    cache.truncate({"stale": 40, "one too many": 21, "one too few": 19}[mutant])
    again = manual_decoding.forward(any_family.runner, [ids[20:]], cache)
    fresh = manual_decoding.forward(any_family.runner, [ids], KvCache(any_family.runner.layers, 64))
    assert (again - fresh).abs().max() > 1e-3


def test_logits_are_float32_and_those_of_the_last_token(starcoder: Path) -> None:
    loaded = load(Model(name=str(starcoder), device="cpu", dtype="bfloat16"), lambda *_: None)
    logits = manual_decoding.forward(loaded.runner, [prompt(9), prompt(9, 2)], KvCache(2, 9))
    assert (logits.dtype, logits.shape) == (torch.float32, (2, 640))


def test_output_layer_is_not_copied_for_each_chunk(any_family: LoadedModel) -> None:
    """``F.linear`` copies its weight, transposed, for an input of three dimensions that is a slice."""
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            answer = func(*args, **(kwargs or {}))
            if isinstance(answer, torch.Tensor) and func in (
                torch.ops.aten.clone.default,
                torch.ops.aten.copy_.default,
            ):
                largest = max(largest, answer.numel())
            return answer

    with Watch():
        manual_decoding.forward(any_family.runner, [prompt(16)], KvCache(any_family.runner.layers, 16))
    assert largest < 640 * 48


def test_logits_of_all_tokens_equal_transformers(any_family: LoadedModel) -> None:
    ids = prompt(30)
    cache = KvCache(any_family.runner.layers, 64)
    manual_decoding.forward(any_family.runner, [ids[:20]], cache)
    together = manual_decoding.forward_all(any_family.runner, ids[20:], cache)
    with torch.inference_mode():
        expected = any_family.runner.model(torch.tensor([ids])).logits[0]  # [time, vocabulary]
    torch.testing.assert_close(together, expected[20:], rtol=0, atol=1e-9)


class RecordedAdapters:
    """Stands for the resident adapters: which one was activated before each pass."""

    active_layers_key = None

    def __init__(self) -> None:
        self.activated: list[Any] = []

    def activate(self, adapter: Any) -> None:
        self.activated.append(adapter)


@pytest.mark.parametrize("passes", [1, 3])
def test_adapter_is_activated_once_per_batch(passes: int, loaded: LoadedModel) -> None:
    loaded.runner.adapters = adapters = RecordedAdapters()  # type: ignore[assignment]
    adapter: Any = object()
    loaded.runner.run_batch([ForwardPass([[20]], KvCache(loaded.runner.layers, 4)) for _ in range(passes)], adapter)
    loaded.runner.run(ForwardPass([[20]], KvCache(loaded.runner.layers, 4)))
    assert adapters.activated == [adapter, None]


@pytest.mark.parametrize(("tokens", "threads"), [(1, 1), (40, 2)])
def test_threads_are_set_once_per_batch(
    tokens: int, threads: int, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    exact = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda count: (counts.append(count), exact(count))[1])
    loaded.runner.threads = 2
    loaded.runner.run(ForwardPass([[20] * tokens], KvCache(loaded.runner.layers, 64)))
    assert counts == ([threads, 1] if threads > 1 else [])
