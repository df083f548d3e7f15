from __future__ import annotations

from pathlib import Path

from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.load_model import load_weights
from starcoder_ls.engine.loading.placement import choose_placement
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.settings import Model


def test_loaded_model_is_frozen_for_inference(starcoder: Path) -> None:
    checkpoint = read_checkpoint(starcoder)
    placement = choose_placement(Model(device="cpu", dtype="float32"), checkpoint, lambda: False)
    model = load_weights(checkpoint, placement, ignore_progress)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert model.transformer.bias.numel() == 0, "the unused causal mask takes no memory"
