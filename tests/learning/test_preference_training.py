"""trl trains a small random base."""

from __future__ import annotations

import builtins
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from preference_ids import random_data
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import preference_training
from starcoder_ls.learning.finetuning.layer_training import LORA_TARGETS
from starcoder_ls.learning.preference_data import DPO, KTO, sequences_of
from starcoder_ls.learning.preference_ids import JudgedIds, PairIds
from starcoder_ls.learning.preference_scores import log_probabilities, score
from starcoder_ls.learning.preference_training import PreferenceConfig, Step
from training_fixtures import load_base

CONFIG = PreferenceConfig(learning_rate=2e-3, rank=4, alpha=8, dropout=0.0, sft=0.0, epochs=1.0, batch=8)


def train(folder: Path, loss: str, config: PreferenceConfig, seen: list[torch.Tensor] | None = None) -> Any:
    """The trained model, its adapter's weights, and the steps."""
    torch.set_num_threads(1)
    model, checkpoint, _ = load_base(folder)
    if seen is not None:
        model.get_input_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    steps: list[Step] = []
    targets = LORA_TARGETS[checkpoint.architecture]
    tensors = preference_training.train_lora(model, targets, random_data(loss), config, steps.append)
    return model, tensors, steps


@pytest.mark.parametrize("loss", [DPO, KTO])
def test_ids_that_reach_the_model_are_the_recorded_ones(loss: str, starcoder: Path) -> None:
    seen: list[torch.Tensor] = []
    _, tensors, steps = train(starcoder, loss, CONFIG, seen)
    examples = random_data(loss).training
    expected = {sequence for example in examples for sequence in sequences_of(example)}
    if loss == KTO:  # for the KL divergence each prompt is also read with the completion of the row before
        pairs = [(first, second) for first in examples for second in examples]
        allowed = {
            one.prompt + other.completion
            for one, other in pairs
            if isinstance(one, JudgedIds) and isinstance(other, JudgedIds)
        }
    else:
        allowed = expected
    rows = {tuple(row[: int((row != 0).sum())].tolist()) for batch in seen for row in batch}
    assert expected <= rows <= allowed
    assert len(rows) == 16  # eight pairs, or eight suggestions and as many for the divergence
    assert [number for number, _ in steps] == [1]
    assert {name.rpartition(".lora_")[2] for name in tensors} == {"A.weight", "B.weight"}
    assert all(".default" not in name for name in tensors)


def test_loss_of_pairs_is_that_of_trl(starcoder: Path) -> None:
    model, _, _ = train(starcoder, DPO, CONFIG)
    _, _, steps = train(starcoder, DPO, replace(CONFIG, epochs=2.0))
    base, _, _ = load_base(starcoder)
    examples = random_data(DPO).training
    ours = score(examples, log_probabilities(base, examples), log_probabilities(model, examples), CONFIG.beta)
    assert steps[0][1] == pytest.approx(math.log(2), abs=1e-4)
    assert steps[1][1] == pytest.approx(ours.loss, abs=0.004)  # trl computes in bfloat16
    assert math.log(2) - ours.loss > 0.02


def test_weight_of_the_plain_loss_is_added(starcoder: Path) -> None:
    _, _, steps = train(starcoder, DPO, replace(CONFIG, sft=1.0))
    assert steps[0][1] > 2 * math.log(2)


def test_learning_rate_rises_for_narrow_models() -> None:
    assert preference_training.rate_for(4096) == preference_training.rate_for(8192) == pytest.approx(1e-5)
    assert preference_training.rate_for(256) == pytest.approx(1.6e-4)


def test_steps_are_rounded_up() -> None:
    assert PreferenceConfig(epochs=2.0, batch=8).steps(17) == 6


def test_missing_extra_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_trl(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "trl":
            raise ImportError("No module named 'trl'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_trl)
    with pytest.raises(SettingsError, match=r"needs trl .*pip install 'starcoder-ls\[preferences\]'"):
        preference_training.require_trl()


def test_pair_is_read_twice_and_a_suggestion_once() -> None:
    assert sequences_of(PairIds((1, 2), (3,), (4, 5), "")) == [(1, 2, 3), (1, 2, 4, 5)]
    assert sequences_of(JudgedIds((1, 2), (3,), True, "")) == [(1, 2, 3)]
