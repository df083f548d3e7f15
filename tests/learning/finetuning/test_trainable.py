from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.engine.adapters.files import check_adapter_folder
from starcoder_ls.engine.loading import integrity
from starcoder_ls.learning.finetuning.trainable import BaseIdentity, FrozenBase, write_adapter
from training_fixtures import load_base

IDS = torch.arange(20, 45)[None]


def test_frozen_base_computes_what_the_model_computes(starcoder2: Path) -> None:
    model, _, _ = load_base(starcoder2)
    with torch.inference_mode():
        expected = model(input_ids=IDS).logits
        actual = model.get_output_embeddings()(FrozenBase(model).hidden(IDS))
    assert torch.allclose(actual, expected, atol=1e-5)
    assert not FrozenBase(model).named_weights()


def test_written_adapter_names_its_base_and_has_a_manifest(tmp_path: Path) -> None:
    write_adapter(
        tmp_path,
        {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2},
        {"prompt_embeddings": torch.zeros(2, 4, dtype=torch.bfloat16)},
        BaseIdentity("some/base", "f00d"),
    )
    files = check_adapter_folder(tmp_path)
    assert files.base_fingerprint == "f00d"
    assert json.loads((tmp_path / CONFIG_FILE).read_text())["base_model_name_or_path"] == "some/base"
    assert set(integrity.read_manifest(tmp_path)) == {CONFIG_FILE, "adapter_model.safetensors"}
    assert (tmp_path / CONFIG_FILE).read_text().endswith("\n")


@pytest.mark.parametrize("name", ["starcoder", "llama"])
def test_device_is_that_of_the_embeddings(name: str, request: pytest.FixtureRequest) -> None:
    assert FrozenBase(load_base(request.getfixturevalue(name))[0]).device.type == "cpu"
