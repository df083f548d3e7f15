from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from starcoder_ls.learning.finetuning.batches import stack_rows
from starcoder_ls.learning.finetuning.instruction_batches import Example, InstructionBatches
from starcoder_ls.learning.finetuning.row_loss import measure_losses, token_losses, training_loss
from starcoder_ls.learning.finetuning.trainable import FrozenBase
from training_fixtures import load_base


def test_loss_counts_neither_prompts_nor_padding(starcoder: Path) -> None:
    model, _, _ = load_base(starcoder)
    short, long = Example((7, 8, 9), (10, 0)), Example((5,) * 25, (6, 0))
    with torch.no_grad():
        logits = model(torch.tensor([[7, 8, 9, 10]])).logits[0].log_softmax(-1)
    alone = measure_losses(FrozenBase(model), InstructionBatches([short], 256), 1)
    assert alone.loss == alone.middle_loss == pytest.approx(-float(logits[2, 10] + logits[3, 0]) / 2, abs=0.2)
    both = measure_losses(FrozenBase(model), InstructionBatches([short, long], 256), 1).loss
    other = measure_losses(FrozenBase(model), InstructionBatches([long], 256), 1).loss
    assert both == pytest.approx((alone.loss + other) / 2, abs=0.2)


def test_weights_shift_the_training_loss_and_not_the_means(starcoder: Path) -> None:
    model, _, _ = load_base(starcoder)
    ids, middle = [5, 6, 7, 8], [False, False, False, True]
    plain, plain_means = training_loss(FrozenBase(model), stack_rows([(ids, [1.0] * 4, middle)]))
    heavy, heavy_means = training_loss(FrozenBase(model), stack_rows([(ids, [1.0, 1.0, 1.0, 9.0], middle)]))
    assert plain_means == heavy_means
    rest = (float(plain) * 3 - plain_means.middle_loss) / 2
    assert float(heavy) == pytest.approx((2 * rest + 9 * plain_means.middle_loss) / 11, rel=1e-3)


def test_loss_of_a_mixture_is_that_of_its_probability(starcoder: Path) -> None:
    model, _, _ = load_base(starcoder)
    batch = stack_rows([([5, 6, 7], [1.0] * 3, [False, True, True])])
    (plain,) = (token_losses(FrozenBase(model), batch)[0],)
    model_share, ngram_share = torch.tensor([[1.0, 0.75, 1.0]]), torch.tensor([[0.0, 0.25, 0.0]])
    mixed, _, _ = token_losses(FrozenBase(model), replace(batch, model_share=model_share, ngram_share=ngram_share))
    expected = -(0.75 * (-plain[0]).exp() + 0.25).log()
    assert float(mixed[0]) == pytest.approx(float(expected), abs=1e-3)
    assert float(mixed[1]) == pytest.approx(float(plain[1]), abs=1e-3)


def test_batch_without_a_middle_has_no_middle_loss(starcoder: Path) -> None:
    model, _, _ = load_base(starcoder)
    _, means = training_loss(FrozenBase(model), stack_rows([([5, 6], [1.0, 1.0], [False, False])]))
    assert math.isnan(means.middle_loss)
    assert math.isfinite(means.loss)
