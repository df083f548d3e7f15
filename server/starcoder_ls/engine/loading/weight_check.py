"""Whether the weights that were loaded are those that the config promises: all there, none over, all finite.

Refuses to know how they are loaded, and where they live.
"""

from __future__ import annotations

from typing import Any

import torch

from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.quantization import is_plain
from starcoder_ls.errors import ModelInvalid

# Masks that old conversions of GPTBigCode and Llama saved among the weights; today's code computes them.
_HARMLESS_EXTRAS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


def require_all(outcome: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Raise ModelInvalid where ``outcome``, what transformers says of the keys, names some that do not fit."""
    missing = sorted(outcome["missing_keys"])
    extra = sorted(key for key in outcome["unexpected_keys"] if not key.endswith(_HARMLESS_EXTRAS))
    wrong = sorted(str(key) for key in outcome.get("mismatched_keys", ()))
    for keys, said in ((missing, "lacks weights"), (extra, "holds weights that its config has no place for"),
                       (wrong, "holds weights of another shape than its config says")):  # fmt: skip
        if keys:
            raise ModelInvalid(
                f"{checkpoint.folder} {said}: {len(keys)} tensors, such as {keys[0]}. Download it again, or correct "
                "its config.json."
            )


def require_finite(model: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Raise ModelInvalid for a weight that is NaN or infinite: one read of the weights, one answer from the device."""
    with torch.inference_mode():
        for name, weight in model.named_parameters():
            if weight.device.type == "meta" or not is_plain(weight):
                continue  # offloaded to the disk; or quantized, and then its answer is looked at
            # aminmax hands on NaN, and unlike isfinite makes no tensor of the weight's size.
            if weight.numel() and not torch.isfinite(torch.stack(torch.aminmax(weight))).all():
                raise ModelInvalid(f"{checkpoint.folder} holds {name}, which is not finite. Download it again.")
