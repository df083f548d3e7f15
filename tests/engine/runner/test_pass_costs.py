from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.runner import pass_costs
from starcoder_ls.engine.runner.pass_costs import (
    CHUNK_TOKENS,
    PROBED_TOKENS,
    measure_chunk_tokens,
    measure_pass_costs,
    step_costs,
)

FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(request.getfixturevalue(request.param))


def test_chunk_tokens_follow_the_measured_speed(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_costs, "MAX_CHUNK_MS", 1e9)
    assert measure_chunk_tokens(loaded.runner, 256) == CHUNK_TOKENS[0]
    assert loaded.runner.token_ms > 0.0
    monkeypatch.setattr(pass_costs, "MAX_CHUNK_MS", 0.0)
    assert measure_chunk_tokens(loaded.runner, 256) == CHUNK_TOKENS[-1]


@pytest.mark.parametrize(("can_pause", "tokens"), [(False, 32), (True, 256)])
def test_chunk_is_longer_where_a_pass_can_pause(can_pause: bool, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock where a token takes 0.6 ms."""
    cpu = FakeDevice(0.0, 0.6, "cpu", can_pause)
    monkeypatch.setattr(pass_costs, "_now_ms", lambda _device: cpu.now_ms)
    assert measure_chunk_tokens(cpu, 4096) == tokens
    assert cpu.token_ms == pytest.approx(0.6)


def test_model_with_a_tiny_context_is_measured(doubled: Callable[[Path], LoadedModel], tmp_path: Path) -> None:
    import checkpoints

    loaded = doubled(checkpoints.gpt_bigcode(tmp_path / "tiny", n_positions=4))
    assert loaded.context_tokens == 4


def test_pass_costs_are_interpolated_between_the_measured_sizes(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock on which a pass over n tokens takes n² milliseconds, and every second try a millisecond longer."""
    now_ms, tries = [0.0], iter(range(10_000))
    run = loaded.runner.run

    def run_and_advance(forward_pass: ForwardPass, adapter: Any = None) -> Logits:
        now_ms[0] += forward_pass.tokens**2 + next(tries) // len(PROBED_TOKENS) % 2
        return run(forward_pass, adapter)

    monkeypatch.setattr(loaded.runner, "run", run_and_advance)
    monkeypatch.setattr(pass_costs, "_now_ms", lambda _device: now_ms[0])
    assert measure_pass_costs(loaded.runner, loaded.context_tokens) == (1, 4, 10, 16, 28, 40, 52, 64)


def test_pass_costs_are_empty_without_room_in_the_context(loaded: LoadedModel) -> None:
    assert measure_pass_costs(loaded.runner, 8) == ()


class FakeDevice:
    """A runner on a device where a pass takes ``base_ms`` and ``own_ms`` for each token; the first of a size more."""

    layers = 0

    def __init__(self, base_ms: float, own_ms: float, device: str = "cuda", can_pause: bool = False) -> None:
        self.base_ms, self.own_ms, self.now_ms = base_ms, own_ms, 0.0
        self.token_ms, self._can_pause = 0.0, can_pause
        self.passes: list[int] = []
        weight = SimpleNamespace(device=torch.device(device, 0))
        self.model = SimpleNamespace(get_input_embeddings=lambda: SimpleNamespace(weight=weight))

    def can_pause(self, _adapter: None) -> bool:
        return self._can_pause

    def run(self, forward_pass: ForwardPass) -> Logits:
        tokens = forward_pass.tokens
        self.now_ms += self.base_ms + self.own_ms * tokens + 1000 * (tokens not in self.passes)
        self.passes.append(tokens)
        return Logits(torch.zeros(1, 1))


@pytest.mark.parametrize(("base_ms", "token_ms", "context_tokens", "tokens"), [
    (5.0, 0.014, 8192, 1024),  # 7B on an H200: 64 tokens take 5.9 ms, 1,024 take 19
    (3.0, 0.009, 8192, 1024),
    (2.0, 0.001, 8192, 2048),
    (35.0, 0.03, 8192, 512),  # 15B on a 4090: 32 tokens take 36 ms, so a chunk may take 54
    (1.0, 2.0, 8192, 32),  # slower than a CPU: a chunk of 64 takes 129 ms, one of 32 takes 65
    (2.0, 0.001, 2048, 1024),
    (2.0, 0.001, 4, 3),
])  # fmt: skip
def test_chunks_on_a_gpu_are_as_long_as_a_key_may_wait(
    base_ms: float, token_ms: float, context_tokens: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = FakeDevice(base_ms, token_ms)
    monkeypatch.setattr(pass_costs, "KvCache", lambda *_: SimpleNamespace(truncate=lambda _length: None))
    monkeypatch.setattr(pass_costs, "_now_ms", lambda _device: gpu.now_ms)
    assert measure_chunk_tokens(gpu, context_tokens) == tokens
    assert max(gpu.passes) <= 2 * tokens, "no size is tried far beyond the one that is chosen"


def test_costs_of_graphs_are_those_of_the_smallest_that_holds_the_tokens() -> None:
    assert step_costs({1: 2.0, 2: 3.0, 4: 5.0, 8: 6.0}) == (2.0, 3.0, 5.0, 5.0, 6.0, 6.0, 6.0, 6.0)
