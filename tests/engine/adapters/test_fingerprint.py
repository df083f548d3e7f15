from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import checkpoints
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.loading.checkpoint import read_checkpoint


def save_copy(
    base: Path, folder: Path, dtype: torch.dtype, max_shard_size: str = "5GB", changed_weight: str = ""
) -> str:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    if changed_weight:
        model.get_parameter(changed_weight).data.view(-1)[0] += 0.5
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    (folder / "tokenizer.json").write_text(checkpoints.byte_level_tokenizer(), encoding="utf-8")
    return compute_fingerprint(read_checkpoint(folder))


def test_resharded_or_bfloat16_copy_has_the_same_fingerprint(starcoder: Path, tmp_path: Path) -> None:
    original = compute_fingerprint(read_checkpoint(starcoder))
    assert len(original) == 16
    assert save_copy(starcoder, tmp_path / "a", torch.float32, "100KB") == original
    assert len(list((tmp_path / "a").glob("*.safetensors"))) > 1
    assert save_copy(starcoder, tmp_path / "b", torch.bfloat16) == original


def test_changed_weight_changes_the_fingerprint(starcoder: Path, tmp_path: Path) -> None:
    original = compute_fingerprint(read_checkpoint(starcoder))
    for number, name in enumerate(("transformer.ln_f.bias", "transformer.h.1.mlp.c_proj.weight")):
        assert save_copy(starcoder, tmp_path / str(number), torch.float32, changed_weight=name) != original
