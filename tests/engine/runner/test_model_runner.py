"""A pass over several caches gives each the logits it has alone; a request that has the model to itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def behind(loaded: LoadedModel, row: int, read: int, rows: int = 1) -> KvCache:
    """A cache of ``rows`` equal rows, in which ``read`` tokens of sequence ``row`` are, and stale ones behind them."""
    cache = KvCache(loaded.runner.layers, 8)
    manual_decoding.read(loaded.runner, [IDS[row][:read] + IDS[(row + 1) % 8][:9]], cache)
    cache.truncate(read)
    return cache if rows == 1 else cache.fork(rows, read + 20)


Shape = tuple[int, int, int, LogitsFor]
"""(tokens read, rows, new tokens of each, what is wanted)"""

shapes = st.one_of(
    st.tuples(
        st.integers(1, 40), st.integers(1, 3), st.integers(1, 3), st.sampled_from([LogitsFor.LAST, LogitsFor.NONE])
    ),
    st.tuples(st.integers(1, 40), st.just(1), st.integers(1, 19), st.sampled_from(list(LogitsFor))),
)


def asked(loaded: LoadedModel, given: list[Shape]) -> list[ForwardPass]:
    return [
        ForwardPass(
            [IDS[(at + 3 * row) % 8][read : read + time] for row in range(rows)], behind(loaded, at, read, rows), wanted
        )
        for at, (read, rows, time, wanted) in enumerate(given)
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_=st.lists(shapes, min_size=1, max_size=6))
def test_passes_together_answer_as_each_alone(given_: list[Shape], any_family: LoadedModel) -> None:
    """And leave the caches so: what is read next answers as it would. Also beyond StarCoder2's window of 16 tokens."""
    loaded = any_family
    assert loaded.runner.can_batch
    single, shared = asked(loaded, given_), asked(loaded, given_)
    expected = [loaded.runner.run(one) for one in single]
    for one, answer, right in zip(shared, loaded.runner.run_batch(shared), expected, strict=True):
        if one.logits_for is not LogitsFor.NONE:
            torch.testing.assert_close(answer.values, right.values, **DOUBLE)
    for one, other in zip(shared, single, strict=True):
        following = [[7]] * len(one.rows)
        assert one.cache.length == other.cache.length
        after = [loaded.runner.run(ForwardPass(following, cache)).values for cache in (one.cache, other.cache)]
        torch.testing.assert_close(*after, **DOUBLE)


def test_wanted_says_which_logits_come(loaded: LoadedModel) -> None:
    ids = IDS[0][:6]
    both = [ForwardPass([ids], KvCache(loaded.runner.layers, 8), wanted) for wanted in (LogitsFor.LAST, LogitsFor.ALL)]
    one, all_ = (loaded.runner.run(wanted).values for wanted in both)
    assert (one.shape, all_.shape) == ((1, 640), (6, 640))
    torch.testing.assert_close(one[0], all_[-1], **DOUBLE)


def test_nobody_computes_logits_that_nobody_wants(loaded: LoadedModel) -> None:
    calls: list[int] = []
    loaded.runner.model.get_output_embeddings().register_forward_hook(lambda *its: calls.append(len(its[2])))
    several = asked(loaded, [(9, 1, 5, LogitsFor.NONE), (4, 1, 5, LogitsFor.LAST), (6, 1, 2, LogitsFor.ALL)])
    loaded.runner.run_batch(several)
    loaded.runner.run(several[0])
    assert calls == [1 + 2]


def test_each_of_a_shared_pass_waited_for_all_of_it(loaded: LoadedModel) -> None:
    several = asked(loaded, [(9, 1, 1, LogitsFor.LAST), (4, 1, 1, LogitsFor.LAST)])
    loaded.runner.run_batch(several)
    assert several[0].took_ms == several[1].took_ms > 0


def position_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all but the first."""
    exact = BigCodeCpu.hidden_states

    def shifted(reader: BigCodeCpu, several: Any) -> list[torch.Tensor]:
        table = reader._body.wpe.weight
        hidden = exact(reader, several[:1])
        reader._body.wpe.weight = torch.nn.Parameter(table.roll(-1, 0), requires_grad=False)
        try:
            return hidden + (exact(reader, several[1:]) if several[1:] else [])
        finally:
            reader._body.wpe.weight = table

    monkeypatch.setattr(BigCodeCpu, "hidden_states", shifted)


def one_key_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a part looks at begins with its second token."""
    exact = BigCodeCpu._attend

    def short(reader: BigCodeCpu, projected: Any, storage: Any, mask: torch.Tensor, part: Any) -> torch.Tensor:
        blind = mask.expand(-1, part.end).clone()
        blind[:, 0] = -torch.inf
        return exact(reader, projected, storage, blind, part)

    monkeypatch.setattr(BigCodeCpu, "_attend", short)


def neighbours_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = BigCodeCpu.hidden_states

    def rolled(reader: BigCodeCpu, several: Any) -> list[torch.Tensor]:
        caches = [cache for _, cache in several]
        return exact(reader, list(zip([ids for ids, _ in several], caches[1:] + caches[:1], strict=True)))

    monkeypatch.setattr(BigCodeCpu, "hidden_states", rolled)


@pytest.mark.parametrize("mutant", [position_one_on, one_key_too_few, neighbours_cache])
def test_a_shared_pass_that_is_wrong_by_one_is_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    several: list[Shape] = [(20, 1, 1, LogitsFor.LAST), (31, 1, 1, LogitsFor.LAST), (7, 1, 4, LogitsFor.ALL)]
    expected = [loaded.runner.run(one) for one in asked(loaded, several)]
    mutant(monkeypatch)
    shared = loaded.runner.run_batch(asked(loaded, several))
    assert any(float((a.values - b.values).abs().max()) > 1e-3 for a, b in zip(shared, expected, strict=True))


@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_in_the_shipped_type_answers_part_only_where_two_tokens_are_as_likely(starcoder: Path, dtype: str) -> None:
    """``auto`` is packed float16 on x86. Differences are in units of the logits' spread."""
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
