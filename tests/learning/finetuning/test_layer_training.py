from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import adapter_fixtures
from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.learning.finetuning.layer_training import add_lora, add_parallel
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from training_fixtures import load_base


def test_weights_are_float32_beside_a_base_in_16_bits(starcoder: Path) -> None:
    model, checkpoint, _ = load_base(starcoder)
    trainable = add_lora(model.bfloat16(), checkpoint.architecture, 2)
    assert {weight.dtype for weight in trainable.named_weights().values()} == {torch.float32}


def test_lora_adapts_every_linear_layer_within_blocks(request: pytest.FixtureRequest) -> None:
    for name, layers in (("starcoder", 4), ("starcoder2", 6), ("llama", 7), ("qwen2", 7)):
        model, checkpoint, _ = load_base(request.getfixturevalue(name))
        linear = [path for path, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
        weights = add_lora(model, checkpoint.architecture, 2).named_weights()
        assert len(weights) == 2 * layers * 2, "two matrices in each of two blocks"
        assert len([path for path in linear if "lm_head" not in path]) == 2 * layers


def test_parallel_adapter_has_the_keys_of_published_ones(starcoder: Path, tmp_path: Path) -> None:
    model, checkpoint, _ = load_base(starcoder)
    add_parallel(model, checkpoint.architecture, 4).save(tmp_path, BaseIdentity("base", "0"))
    published = json.loads((adapter_fixtures.GOLDEN / "parallel" / CONFIG_FILE).read_text())
    saved = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert saved.keys() == published.keys() - {"auto_mapping"}
