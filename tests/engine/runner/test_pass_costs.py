from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.runner import pass_costs
from starcoder_ls.engine.runner.pass_costs import CHUNK_TOKENS, PROBED_TOKENS, measure_chunk_tokens, measure_pass_costs

FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(request.getfixturevalue(request.param))


def test_chunk_tokens_follow_the_measured_speed(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_costs, "MAX_CHUNK_MS", 1e9)
    assert measure_chunk_tokens(loaded.runner, 256) == CHUNK_TOKENS[0]
    monkeypatch.setattr(pass_costs, "MAX_CHUNK_MS", 0.0)
    assert measure_chunk_tokens(loaded.runner, 256) == CHUNK_TOKENS[-1]


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
