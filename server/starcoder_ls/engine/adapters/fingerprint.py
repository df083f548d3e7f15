"""A fingerprint of a base model's contents: an adapter of another base of the same shape loads, but gives nonsense.

It reads so little of each weight that it can be computed at every start.
"""

from __future__ import annotations

import hashlib
import json

import torch
from safetensors import safe_open

from starcoder_ls.engine.loading.checkpoint import Checkpoint

_DIMENSION_KEYS = (
    "model_type", "n_layer", "n_embd", "n_head", "n_inner", "multi_query", "num_hidden_layers", "hidden_size",
    "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size",
)  # fmt: skip
# Computed masks and frequencies that old conversions saved, and the output layer that may be tied to the embeddings.
_SKIPPED_TENSORS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq", "lm_head.weight")


def compute_fingerprint(checkpoint: Checkpoint) -> str:
    """16 hexadecimal digits over the dimensions and the first row of every weight.

    Rows are rounded to bfloat16 first, so that a float32 checkpoint and its bfloat16 copy have the same fingerprint.
    Norms and biases count as one row, and every weight counts, so that a fine-tuned or merged copy has another one.
    """
    dimensions = {key: checkpoint.config.get(key) for key in _DIMENSION_KEYS}
    digest = hashlib.sha256(json.dumps(dimensions, sort_keys=True).encode())
    rows: dict[str, bytes] = {}
    for file in checkpoint.weights.files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - a safetensors file is not a mapping
                if not name.endswith(_SKIPPED_TENSORS):
                    tensor = tensors.get_slice(name)
                    row = tensor[:] if len(tensor.get_shape()) < 2 else tensor[0:1]
                    rows[name] = row.to(torch.bfloat16).view(torch.int16).numpy().tobytes()
    for name in sorted(rows):
        digest.update(name.encode() + b"\0" + rows[name])
    return digest.hexdigest()[:16]
