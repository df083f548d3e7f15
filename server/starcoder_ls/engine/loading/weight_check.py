"""Checks that the loaded weights are those of the checkpoint's config: none missing, none unexpected, all finite."""

from __future__ import annotations

from typing import Any

import torch

from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.quantization import is_unquantized
from starcoder_ls.errors import ModelInvalid

# Buffers that old conversions of GPTBigCode and Llama saved among the weights; current code computes them.
_IGNORED_TENSORS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


def require_matching_keys(loading_info: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Raise ModelInvalid if ``loading_info`` of transformers' ``from_pretrained`` names keys that do not match."""
    missing = sorted(loading_info["missing_keys"])
    unexpected = sorted(key for key in loading_info["unexpected_keys"] if not key.endswith(_IGNORED_TENSORS))
    mismatched = sorted(str(key) for key in loading_info.get("mismatched_keys", ()))
    for keys, problem in (
        (missing, "lacks weights"),
        (unexpected, "contains weights that its config does not use"),
        (mismatched, "contains weights whose shape differs from its config"),
    ):
        if keys:
            raise ModelInvalid(
                f"{checkpoint.folder} {problem}: {len(keys)} tensors, such as {keys[0]}. Download it again, or correct "
                "its config.json."
            )


def require_finite(model: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Raise ModelInvalid if a weight is NaN or infinite. Every weight is read once."""
    with torch.inference_mode():
        for name, weight in model.named_parameters():
            if weight.device.type == "meta" or not is_unquantized(weight):
                continue  # offloaded to the disk, or quantized; logits of quantized models are checked instead
            # aminmax propagates NaN and, unlike isfinite, allocates no tensor of the weight's size.
            if weight.numel() and not torch.isfinite(torch.stack(torch.aminmax(weight))).all():
                raise ModelInvalid(f"{checkpoint.folder} contains {name}, which is not finite. Download it again.")
