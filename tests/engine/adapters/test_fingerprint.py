from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import checkpoints
from starcoder_ls.engine.adapters import fingerprint
from starcoder_ls.engine.loading.checkpoint import inspect


def saved(base: Path, folder: Path, dtype: torch.dtype, shard: str = "5GB", nudge: str = "") -> str:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    if nudge:
        model.get_parameter(nudge).data.view(-1)[0] += 0.5
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "tokenizer.json").write_text(checkpoints.byte_level_tokenizer(), encoding="utf-8")
    return fingerprint.of(inspect(folder))


def test_copies_in_other_shards_and_in_bfloat16_are_the_same_base(starcoder: Path, tmp_path: Path) -> None:
    original = fingerprint.of(inspect(starcoder))
    assert len(original) == 16
    assert saved(starcoder, tmp_path / "a", torch.float32, "100KB") == original
    assert len(list((tmp_path / "a").glob("*.safetensors"))) > 1
    assert saved(starcoder, tmp_path / "b", torch.bfloat16) == original


def test_another_weight_is_another_base(starcoder: Path, tmp_path: Path) -> None:
    original = fingerprint.of(inspect(starcoder))
    for number, name in enumerate(("transformer.ln_f.bias", "transformer.h.1.mlp.c_proj.weight")):
        assert saved(starcoder, tmp_path / str(number), torch.float32, nudge=name) != original
