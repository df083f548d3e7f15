from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning import training_run
from starcoder_ls.learning.finetuning.batches import Batch
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.row_loss import measure_losses
from starcoder_ls.learning.finetuning.training_run import RunConfig, TrainingRun
from training_fixtures import load_base, rows_of

CONFIG = RunConfig(steps=12, learning_rate=1e-2, evaluate_every=4, validation_steps=2, patience=2)


class Ticks:
    """A clock that advances by a second at each reading."""

    def __init__(self) -> None:
        self._counter = itertools.count()

    def __call__(self) -> float:
        return float(next(self._counter))


def create_run(base: Path, folder: Path, config: RunConfig = CONFIG, method: str = "lora") -> TrainingRun:
    model, checkpoint, tokenizer = load_base(base)
    trainable = build_trainable(method, model, checkpoint, 4, torch.float32)
    rows, validation = rows_of(checkpoint, tokenizer), rows_of(checkpoint, tokenizer, seed=1)
    return TrainingRun(folder, config, trainable, rows, validation, Ticks())


def weights_of(run: TrainingRun) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in run.trainable.named_weights().items()}


@pytest.mark.parametrize("method", ["lora", "ptuning", "full"])
def test_resumed_run_ends_with_the_same_weights_bit_for_bit(method: str, starcoder: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, matrix_learning_rate=1e-2 if method == "full" else 0.0)
    whole = create_run(starcoder, tmp_path / "whole", config, method)
    reports = list(whole.train())
    for stop in (3, 7, 8):  # a process that is killed loses the steps after the last checkpoint
        interrupted = create_run(starcoder, tmp_path / "parts", config, method)
        assert interrupted.step < stop
        for report in interrupted.train(save_every_s=6):
            if report.step == stop:
                break
        (tmp_path / "parts" / "checkpoint.pt.partial").write_bytes(b"torn")
    resumed = create_run(starcoder, tmp_path / "parts", config, method)
    restored_step = resumed.step
    assert 0 < restored_step <= 8
    losses = [repr(report.training) for report in resumed.train()]
    assert losses == [repr(report.training) for report in reports if report.step > restored_step]
    assert resumed.best_loss == whole.best_loss
    expected = weights_of(whole)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(resumed).items())
    steps = [report["step"] for report in training_run.read_log(tmp_path / "parts")]
    assert steps == list(range(1, 13))


def test_training_lowers_the_validation_loss_and_changes_no_other_weight(starcoder: Path, tmp_path: Path) -> None:
    run = create_run(starcoder, tmp_path, replace(CONFIG, steps=24, patience=9))
    own = {id(weight) for weight in run.trainable.named_weights().values()}
    frozen = [(weight, weight.clone()) for weight in run.trainable.model.parameters() if id(weight) not in own]
    validation = rows_of(*load_base(starcoder)[1:], seed=1)
    before = measure_losses(run.trainable, validation, 2)
    reports = list(run.train())
    after = measure_losses(run.trainable, validation, 2)
    assert after.loss < before.loss - 0.3
    assert all(torch.equal(weight, copy) for weight, copy in frozen)
    assert [report.step for report in reports if report.validation is not None] == [4, 8, 12, 16, 20, 24]


def test_run_stops_early_and_keeps_the_weights_of_the_minimum(starcoder: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=400, learning_rate=0.5, warmup_share=0.0, decay_share=0.92)
    run = create_run(starcoder, tmp_path, config)
    reports = list(run.train())
    measured = [report.validation.middle_loss for report in reports if report.validation is not None]
    assert len(reports) < 400
    assert run.best_loss == min(measured)
    at_peak_rate = 32 // CONFIG.evaluate_every  # these measurements end no run, though two in turn are no minimum
    assert len(measured) == CONFIG.patience + max(at_peak_rate, 1 + measured.index(min(measured)))
    kept = measure_losses(run.trainable, rows_of(*load_base(starcoder)[1:], seed=1), 2)
    assert kept.middle_loss == pytest.approx(run.best_loss, rel=1e-5)
    assert not list(create_run(starcoder, tmp_path, run.config).train()), "it is finished"


def test_checkpoint_of_another_configuration_is_refused(starcoder: Path, tmp_path: Path) -> None:
    next(create_run(starcoder, tmp_path).train(save_every_s=0))
    with pytest.raises(SettingsError, match="other data, base or options"):
        create_run(starcoder, tmp_path, replace(CONFIG, data="other"))


def test_loss_that_is_not_finite_ends_the_run(starcoder: Path, tmp_path: Path) -> None:
    run = create_run(starcoder, tmp_path)
    with torch.no_grad():
        next(iter(run.trainable.named_weights().values())).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        next(run.train())


def test_learning_rate_rises_and_falls_to_zero() -> None:
    config = RunConfig(steps=100, learning_rate=1.0)
    factors = [config.rate_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 6)
    assert factors[6:50] == [1.0] * 44
    assert factors[75] == pytest.approx(0.5)
    assert 0 < factors[99] < 0.03


def test_tokens_are_those_that_were_learned(starcoder: Path, tmp_path: Path) -> None:
    run = create_run(starcoder, tmp_path)
    batches: list[Batch] = [rows_of(*load_base(starcoder)[1:]).batch(step) for step in range(2)]
    for report in run.train():
        if report.step == 2:
            break
    assert run.tokens == sum(int((batch.weights > 0).sum()) for batch in batches)
