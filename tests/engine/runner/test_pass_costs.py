from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import manual_decoding
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import pass_costs
from starcoder_ls.engine.runner.pass_costs import CHUNK_TOKENS, PROBED_TOKENS, measure_chunk_tokens, measure_pass_costs

FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]


def prompt(tokens: int, seed: int = 1) -> list[int]:
    return torch.randint(20, 600, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()  # type: ignore[no-any-return]


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(request.getfixturevalue(request.param))


def test_chunks_and_steps_give_the_logits_of_one_pass(loaded: LoadedModel) -> None:
    """Also beyond StarCoder2's window of 16 tokens."""
    ids = prompt(50)
    with torch.inference_mode():
        expected = loaded.runner.model(torch.tensor([ids])).logits[0]  # [time, vocabulary]
    cache = KvCache(loaded.runner.layers, 64)
    for start, end in ((0, 7), (7, 8), (8, 40), *((i, i + 1) for i in range(40, 50))):
        logits = manual_decoding.forward(loaded.runner, [ids[start:end]], cache)
        assert logits.shape == (1, 640)
        torch.testing.assert_close(logits[0], expected[end - 1], rtol=0, atol=1e-9)


def test_rows_of_a_fork_are_as_they_would_be_alone(loaded: LoadedModel) -> None:
    ids, tails = prompt(20), [prompt(3, seed) for seed in (2, 3, 4)]
    cache = KvCache(loaded.runner.layers, 20)
    manual_decoding.forward(loaded.runner, [ids], cache)
    together = manual_decoding.forward(loaded.runner, tails, cache.fork(3, 32))
    for row, tail in enumerate(tails):
        alone = manual_decoding.forward(loaded.runner, [ids + tail], KvCache(loaded.runner.layers, 32))
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-9)


def test_rewound_cache_forgets(loaded: LoadedModel) -> None:
    ids = prompt(30)
    cache = KvCache(loaded.runner.layers, 64)
    manual_decoding.forward(loaded.runner, [ids[:20] + prompt(20, seed=9)], cache)
    cache.truncate(20)
    again = manual_decoding.forward(loaded.runner, [ids[20:]], cache)
    fresh = manual_decoding.forward(loaded.runner, [ids], KvCache(loaded.runner.layers, 64))
    torch.testing.assert_close(again, fresh, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mutant", ["stale", "one too many", "one too few"])
def test_a_wrong_cache_shows(loaded: LoadedModel, mutant: str) -> None:
    """What makes the tests above worth something: these checkpoints do not answer the same whatever they read."""
    ids = prompt(30)
    cache = KvCache(loaded.runner.layers, 64)
    manual_decoding.forward(loaded.runner, [ids[:20] + prompt(20, seed=9)], cache)
    cache.truncate({"stale": 40, "one too many": 21, "one too few": 19}[mutant])
    again = manual_decoding.forward(loaded.runner, [ids[20:]], cache)
    fresh = manual_decoding.forward(loaded.runner, [ids], KvCache(loaded.runner.layers, 64))
    assert (again - fresh).abs().max() > 1e-3


def test_logits_are_float32_and_only_those_after_the_last_token(starcoder: Path) -> None:
    from starcoder_ls.engine.assembly import load
    from starcoder_ls.settings import Model

    loaded = load(Model(name=str(starcoder), device="cpu", dtype="bfloat16"), lambda *_: None)
    logits = manual_decoding.forward(loaded.runner, [prompt(9), prompt(9, 2)], KvCache(2, 9))
    assert (logits.dtype, logits.shape) == (torch.float32, (2, 640))


def test_output_layer_is_not_copied_for_each_chunk(loaded: LoadedModel) -> None:
    """F.linear copies its weight, transposed, for an input of three dimensions that is a slice."""
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
        manual_decoding.forward(loaded.runner, [prompt(16)], KvCache(loaded.runner.layers, 16))
    assert largest < 640 * 48


def test_chunk_length_follows_the_measured_speed(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_costs, "MAX_CHUNK_MS", 1e9)
    assert measure_chunk_tokens(loaded.runner, 256) == CHUNK_TOKENS[0]
    monkeypatch.setattr(pass_costs, "MAX_CHUNK_MS", 0.0)
    assert measure_chunk_tokens(loaded.runner, 256) == CHUNK_TOKENS[-1]


def test_a_model_with_a_tiny_context_warms_up(doubled: Callable[[Path], LoadedModel], tmp_path: Path) -> None:
    import checkpoints

    loaded = doubled(checkpoints.gpt_bigcode(tmp_path / "tiny", n_positions=4))
    assert loaded.context_tokens == 4


def test_every_token_of_a_pass_has_the_logits_it_has_alone(loaded: LoadedModel) -> None:
    ids = prompt(30)
    cache = KvCache(loaded.runner.layers, 64)
    manual_decoding.forward(loaded.runner, [ids[:20]], cache)
    together = manual_decoding.forward_all(loaded.runner, ids[20:], cache)
    with torch.inference_mode():
        expected = loaded.runner.model(torch.tensor([ids])).logits[0]  # [time, vocabulary]
    torch.testing.assert_close(together, expected[20:], rtol=0, atol=1e-9)


def test_costs_rise_with_the_tokens_of_a_pass_and_are_those_of_work(loaded: LoadedModel) -> None:
    costs = measure_pass_costs(loaded.runner, loaded.context_tokens)
    assert len(costs) == max(PROBED_TOKENS)
    assert all(0 < cost < 1000 for cost in costs)
    assert costs[-1] >= 0.5 * costs[0]  # of a model this small nearly all is overhead


def test_costs_between_the_measured_sizes_lie_on_a_line(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(pass_costs, "_now_ms", lambda _device: float(next(clock)))
    costs = measure_pass_costs(loaded.runner, loaded.context_tokens)
    assert costs == (1.0,) * max(PROBED_TOKENS)


def test_a_context_without_room_for_drafts_has_no_costs(loaded: LoadedModel) -> None:
    assert measure_pass_costs(loaded.runner, 8) == ()
