from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.load_model import Loaded
from starcoder_ls.engine.runner import model_forward
from starcoder_ls.engine.runner.model_forward import (
    CHUNK_TOKENS,
    PROBED_TOKENS,
    forward,
    forward_all,
    pass_costs,
    warm_up,
)

FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]


def prompt(tokens: int, seed: int = 1) -> list[int]:
    return torch.randint(20, 600, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist()  # type: ignore[no-any-return]


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], Loaded]) -> Loaded:
    return doubled(request.getfixturevalue(request.param))


def test_chunks_and_steps_give_the_logits_of_one_pass(loaded: Loaded) -> None:
    """Also beyond StarCoder2's window of 16 tokens."""
    ids = prompt(50)
    with torch.inference_mode():
        expected = loaded.model(torch.tensor([ids])).logits[0]  # [time, vocabulary]
    cache = KvCache(loaded.layers, 64)
    for start, end in ((0, 7), (7, 8), (8, 40), *((i, i + 1) for i in range(40, 50))):
        logits = forward(loaded.model, [ids[start:end]], cache)
        assert logits.shape == (1, 640)
        torch.testing.assert_close(logits[0], expected[end - 1], rtol=0, atol=1e-9)


def test_rows_of_a_fork_are_as_they_would_be_alone(loaded: Loaded) -> None:
    ids, tails = prompt(20), [prompt(3, seed) for seed in (2, 3, 4)]
    cache = KvCache(loaded.layers, 20)
    forward(loaded.model, [ids], cache)
    together = forward(loaded.model, tails, cache.fork(3, 32))
    for row, tail in enumerate(tails):
        alone = forward(loaded.model, [ids + tail], KvCache(loaded.layers, 32))
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-9)


def test_rewound_cache_forgets(loaded: Loaded) -> None:
    ids = prompt(30)
    cache = KvCache(loaded.layers, 64)
    forward(loaded.model, [ids[:20] + prompt(20, seed=9)], cache)
    cache.truncate(20)
    again = forward(loaded.model, [ids[20:]], cache)
    fresh = forward(loaded.model, [ids], KvCache(loaded.layers, 64))
    torch.testing.assert_close(again, fresh, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mutant", ["stale", "one too many", "one too few"])
def test_a_wrong_cache_shows(loaded: Loaded, mutant: str) -> None:
    """What makes the tests above worth something: these checkpoints do not answer the same whatever they read."""
    ids = prompt(30)
    cache = KvCache(loaded.layers, 64)
    forward(loaded.model, [ids[:20] + prompt(20, seed=9)], cache)
    cache.truncate({"stale": 40, "one too many": 21, "one too few": 19}[mutant])
    again = forward(loaded.model, [ids[20:]], cache)
    fresh = forward(loaded.model, [ids], KvCache(loaded.layers, 64))
    assert (again - fresh).abs().max() > 1e-3


def test_logits_are_float32_and_only_those_after_the_last_token(starcoder: Path) -> None:
    from starcoder_ls.engine.loading.load_model import load
    from starcoder_ls.settings import Model

    loaded = load(Model(name=str(starcoder), device="cpu", dtype="bfloat16"), lambda *_: None)
    logits = forward(loaded.model, [prompt(9), prompt(9, 2)], KvCache(2, 9))
    assert (logits.dtype, logits.shape) == (torch.float32, (2, 640))


def test_output_layer_is_not_copied_for_each_chunk(loaded: Loaded) -> None:
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
        forward(loaded.model, [prompt(16)], KvCache(loaded.layers, 16))
    assert largest < 640 * 48


def test_chunk_length_follows_the_measured_speed(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_forward, "CHUNK_MS", 1e9)
    assert warm_up(loaded.model, loaded.layers, 256) == CHUNK_TOKENS[0]
    monkeypatch.setattr(model_forward, "CHUNK_MS", 0.0)
    assert warm_up(loaded.model, loaded.layers, 256) == CHUNK_TOKENS[-1]


def test_a_model_with_a_tiny_context_warms_up(doubled: Callable[[Path], Loaded], tmp_path: Path) -> None:
    import checkpoints

    loaded = doubled(checkpoints.gpt_bigcode(tmp_path / "tiny", n_positions=4))
    assert loaded.context_tokens == 4


def test_every_token_of_a_pass_has_the_logits_it_has_alone(loaded: Loaded) -> None:
    ids = prompt(30)
    cache = KvCache(loaded.layers, 64)
    forward(loaded.model, [ids[:20]], cache)
    together = forward_all(loaded.model, ids[20:], cache)
    with torch.inference_mode():
        expected = loaded.model(torch.tensor([ids])).logits[0]  # [time, vocabulary]
    torch.testing.assert_close(together, expected[20:], rtol=0, atol=1e-9)


def test_costs_rise_with_the_tokens_of_a_pass_and_are_those_of_work(loaded: Loaded) -> None:
    costs = pass_costs(loaded.model, loaded.layers, loaded.context_tokens)
    assert len(costs) == max(PROBED_TOKENS)
    assert all(0 < cost < 1000 for cost in costs)
    assert costs[-1] >= 0.5 * costs[0]  # of a model this small nearly all is overhead


def test_costs_between_the_measured_sizes_lie_on_a_line(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(model_forward, "_now_ms", lambda _model: float(next(clock)))
    costs = pass_costs(loaded.model, loaded.layers, loaded.context_tokens)
    assert costs == (1.0,) * max(PROBED_TOKENS)


def test_a_context_without_room_for_drafts_has_no_costs(loaded: Loaded) -> None:
    assert pass_costs(loaded.model, loaded.layers, 8) == ()
