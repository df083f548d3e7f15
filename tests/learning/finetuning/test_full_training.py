from __future__ import annotations

from pathlib import Path

import pytest
import torch

from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from training_fixtures import load_base


@pytest.mark.parametrize("name", ["starcoder", "qwen2"])
def test_saved_checkpoint_has_the_trained_weights_and_loads(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(name)
    model, checkpoint, tokenizer = load_base(folder)
    trainable = build_trainable("full", model, checkpoint, 0, torch.float16)
    with torch.no_grad():
        for weight in trainable.named_weights().values():
            weight += 0.25
    trainable.save(tmp_path, BaseIdentity("base", "0"))
    saved, saved_checkpoint, saved_tokenizer = load_base(tmp_path)
    assert saved_tokenizer.encode(["def f"]) == tokenizer.encode(["def f"])
    assert saved_checkpoint.weights.dtypes == {"F16"}
    ids = torch.arange(20, 40)[None]
    with torch.inference_mode():
        expected, actual = model(input_ids=ids).logits, saved(input_ids=ids).logits
    assert (actual - expected).abs().max() < 0.05 * expected.abs().max()
    assert compute_fingerprint(saved_checkpoint) != compute_fingerprint(read_checkpoint(folder))
