from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters, prepare_adapter
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.lora_sum import LoraWeights, add_to_base, concatenate, read_lora
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.trainable import BaseIdentity, write_adapter
from starcoder_ls.settings import Adapter
from training_fixtures import load_base

IDS = torch.arange(20, 40)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=IDS).logits
    return result


def save_adapter(base: Path, folder: Path, method: str, rank: int) -> Any:
    """An adapter of random weights, prepared as the engine does."""
    model, checkpoint, _ = load_base(base)
    trainable = build_trainable(method, model, checkpoint, rank, torch.float32)
    generator = torch.Generator().manual_seed(rank)
    for weight in trainable.named_weights().values():
        weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    folder.mkdir()
    trainable.save(folder, BaseIdentity("base", compute_fingerprint(checkpoint)))
    return prepare_adapter(Adapter(path=str(folder)), True, ignore_progress)


def test_sum_in_the_engine_is_both_adapters_on_the_base(starcoder: Path, tmp_path: Path) -> None:
    first, second = (
        read_lora(save_adapter(starcoder, tmp_path / str(rank), "lora", rank)) for rank in (2, 3)
    )  # fmt: skip
    second = LoraWeights({name: value for name, value in second.tensors.items() if ".h.0." in name}, second.scale)
    expected, checkpoint, _ = load_base(starcoder)
    add_to_base(expected, first)
    add_to_base(expected, second)
    both = concatenate(first, second)
    config = {"peft_type": "LORA", "r": 5, "lora_alpha": 5, "target_modules": ["c_attn", "c_proj", "c_fc"]}
    (tmp_path / "sum").mkdir()
    write_adapter(tmp_path / "sum", config, both.tensors, BaseIdentity("base", compute_fingerprint(checkpoint)))
    served, checkpoint, _ = load_base(starcoder)
    plain = logits(served)
    adapters = ResidentAdapters(served, checkpoint)
    adapters.activate(adapters.add("sum", prepare_adapter(Adapter(path=str(tmp_path / "sum")), True, ignore_progress)))
    torch.testing.assert_close(logits(served), logits(expected), rtol=1e-3, atol=1e-3)
    assert (logits(served) - plain).abs().max() > 0.1


def test_adapter_of_another_method_is_refused_with_a_way_out(starcoder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="adapters merge"):
        read_lora(save_adapter(starcoder, tmp_path / "ia3", "ia3", 1))
