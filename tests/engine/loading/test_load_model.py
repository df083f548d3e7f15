from __future__ import annotations

from pathlib import Path

import starcoder_ls
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.load_model import find, read_weights
from starcoder_ls.engine.loading.placement import place
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.settings import Model


def test_bundled_model_is_a_folder_of_the_package() -> None:
    package = Path(starcoder_ls.__file__).parent
    assert find(Model(), ignore_progress).folder == package / "bundled"


def test_read_weights_returns_a_frozen_model_for_inference(starcoder: Path) -> None:
    checkpoint = read_checkpoint(starcoder)
    placement = place(Model(device="cpu", dtype="float32"), checkpoint, lambda: False)
    model = read_weights(checkpoint, placement, ignore_progress)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert model.transformer.bias.numel() == 0, "the unused causal mask takes no memory"
