"""Checkpoints of random weights in StarCoder's architecture, saved once, and the bundled model beside them."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import torch
import transformers

import starcoder_ls
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.settings import Model

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
CACHE = Path(os.environ.get("STARCODER_LS_BENCH_CACHE", Path(__file__).parents[2] / ".cache" / "decode"))
SHAPES = {
    "164M": {"n_layer": 20, "n_embd": 768, "n_head": 12, "n_inner": 3072, "n_positions": 2048},
    "1B": {"n_layer": 24, "n_embd": 2048, "n_head": 16, "n_inner": 8192, "n_positions": 8192},
}


def checkpoint_folder(shape: str) -> Path:
    """Return the folder of "bundled" or of one of ``SHAPES``, which is created with float16 weights when missing."""
    if shape == "bundled":
        return BUNDLED
    folder = CACHE / shape
    if not (folder / "tokenizer.json").is_file():
        config = transformers.GPTBigCodeConfig(
            vocab_size=49_152, multi_query=True, activation_function="gelu_pytorch_tanh", bos_token_id=0,
            eos_token_id=0, **SHAPES[shape],
        )  # fmt: skip
        torch.manual_seed(0)
        transformers.GPTBigCodeForCausalLM(config).half().save_pretrained(folder)
        shutil.copy(BUNDLED / "tokenizer.json", folder)
    return folder


def load_without_end(folder: Path, **settings: str) -> LoadedModel:
    """Load a model on the CPU, without end tokens: random weights would choose one at once."""
    loaded = load(Model.model_validate({"name": str(folder), "device": "cpu"} | settings), lambda *_: None)
    loaded.checkpoint = replace(loaded.checkpoint, end_ids=frozenset())
    return loaded
