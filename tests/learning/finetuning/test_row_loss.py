from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from starcoder_ls.learning.finetuning.batches import stack_rows
from starcoder_ls.learning.finetuning.instruction_batches import Example, InstructionBatches
from starcoder_ls.learning.finetuning.row_loss import measure_losses, training_loss
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


def test_batch_without_a_middle_has_no_middle_loss(starcoder: Path) -> None:
    model, _, _ = load_base(starcoder)
    _, means = training_loss(FrozenBase(model), stack_rows([([5, 6], [1.0, 1.0], [False, False])]))
    assert math.isnan(means.middle_loss)
    assert math.isfinite(means.loss)
