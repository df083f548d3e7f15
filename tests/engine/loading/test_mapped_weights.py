from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import checkpoints
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.mapped_weights import copy_mapped_weights, is_mapped
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.runner import logit_check
from starcoder_ls.settings import Model


def test_tensors_of_a_file_are_copied_once_and_stay_tied(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3, 3), "bias": torch.ones(3)}, tmp_path / "w.safetensors")
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    loaded = load_file(tmp_path / "w.safetensors")
    assert is_mapped(loaded["weight"])
    model[0].weight.data, model[0].bias.data = loaded["weight"], loaded["bias"]
    model[1].weight = model[0].weight
    assert copy_mapped_weights(model) == 4 * (9 + 3)
    assert copy_mapped_weights(model) == 0
    assert model[1].weight is model[0].weight
    assert torch.equal(model[0].weight, torch.ones(3, 3))


@pytest.mark.parametrize("dtype", ["float32", "auto"])
def test_overwriting_or_truncating_the_file_does_not_change_a_loaded_model(
    starcoder: Path, tmp_path: Path, dtype: str
) -> None:
    folder = checkpoints.copy_checkpoint(starcoder, tmp_path / "copy")
    loaded = load(Model.model_validate({"name": str(folder), "device": "cpu", "dtype": dtype}), ignore_progress)
    before = logit_check._last_logits(loaded.runner, [1, 2, 3])
    weights = folder / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(weights.stat().st_size // 10)
        file.write(b"\0" * (weights.stat().st_size * 8 // 10))
        file.flush()
        assert torch.equal(logit_check._last_logits(loaded.runner, [1, 2, 3]), before)
        file.truncate(0)  # a mapped page that is read now would end the process
    assert torch.equal(logit_check._last_logits(loaded.runner, [1, 2, 3]), before)
