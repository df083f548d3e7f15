"""Which base model this is, by its contents: an adapter of another one fits by shape alone and talks nonsense.

Decides what is read for it: little enough for every start. Refuses to know adapters.
"""

from __future__ import annotations

import hashlib
import json

import torch
from safetensors import safe_open

from starcoder_ls.engine.loading.checkpoint import Checkpoint

_DIMENSIONS = (
    "model_type", "n_layer", "n_embd", "n_head", "n_inner", "multi_query", "num_hidden_layers", "hidden_size",
    "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size",
)  # fmt: skip
_SKIPPED = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq", "lm_head.weight")


def of(checkpoint: Checkpoint) -> str:
    """16 hexadecimal digits over the dimensions and the first row of every weight.

    Rows are rounded to bfloat16 first, so that a float32 checkpoint and its bfloat16 copy are the same base. Norms and
    biases are one row, and every weight counts, so that a fine-tuned or merged copy is another.
    """
    dimensions = {key: checkpoint.config.get(key) for key in _DIMENSIONS}
    digest = hashlib.sha256(json.dumps(dimensions, sort_keys=True).encode())
    rows: dict[str, bytes] = {}
    for file in checkpoint.weights.files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - a safetensors file is no mapping
                if not name.endswith(_SKIPPED):
                    piece = tensors.get_slice(name)
                    shape = piece.get_shape()
                    first = piece[:] if len(shape) < 2 else piece[0:1]
                    rows[name] = first.to(torch.bfloat16).view(torch.int16).numpy().tobytes()
    for name in sorted(rows):
        digest.update(name.encode() + b"\0" + rows[name])
    return digest.hexdigest()[:16]
