"""Memory and time that training will take, estimated from sizes before any weight is loaded.

Formula and table: docs/learning.md. Gradient checkpointing is chosen if the activations would not fit without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.engine.loading.checkpoint_sizes import ModelSizes
from starcoder_ls.errors import OutOfMemory
from starcoder_ls.learning import blockwise_attention

_LAYER_VALUES = 34
"""Values that a layer keeps for each element of a token (Korthikanti et al. 2022, arXiv 2205.05198, without the
attention matrix)."""
_LOGIT_BYTES = 8  # float32 and its gradient; they are computed from values of the type of activations
_TRAINED_BYTES = 16  # weight, gradient and AdamW's two moments in float32
_NF4_BYTES = 4.13 / 8
_RUNTIME_BYTES = 400 << 20  # Python, torch and its workspace
_FROZEN_PASSES, _TRAINED_PASSES = 4, 6  # operations per weight and token: forward 2, gradient of inputs 2, of weights 2


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """What decides about memory and time. ``trained_values`` are the weights that get gradients."""

    sizes: ModelSizes
    base_values: int
    trained_values: int
    batch_tokens: int
    base_bytes_per_value: float
    attention_row_tokens: int = 0
    """The length of rows where the attention's probabilities are kept for the backward pass: on a CPU."""
    activation_bytes: int = 2

    @property
    def is_full(self) -> bool:
        """Whether the base's own weights are trained."""
        return self.trained_values >= self.base_values

    def memory_bytes(self, is_checkpointed: bool) -> int:
        """The peak, with or without gradient checkpointing."""
        sizes, tokens = self.sizes, self.batch_tokens
        base = 0 if self.is_full else int(self.base_values * self.base_bytes_per_value)
        layer = _LAYER_VALUES * tokens * sizes.width
        if self.attention_row_tokens:
            layer += blockwise_attention.kept_values(sizes.heads, tokens, self.attention_row_tokens)
        kept = layer + tokens * sizes.width * sizes.layers if is_checkpointed else layer * sizes.layers
        activations = self.activation_bytes * (kept + tokens * sizes.vocabulary)
        logits = tokens * sizes.vocabulary * _LOGIT_BYTES
        return base + self.trained_values * _TRAINED_BYTES + activations + logits + _RUNTIME_BYTES

    def operations(self, is_checkpointed: bool) -> float:
        """Floating point operations for each token."""
        passes = _TRAINED_PASSES if self.is_full else _FROZEN_PASSES
        return float(self.base_values * (passes + (2 if is_checkpointed else 0)))


def choose_checkpointing(size: TrainingSize, free_bytes: int, device: str, is_possible: bool = True) -> bool:
    """Whether gradient checkpointing is needed. Raises OutOfMemory with a way out if the run cannot fit even so.

    ``is_possible``: transformers drops the keys and values of prefix tuning with it.
    """
    if size.memory_bytes(False) <= free_bytes:
        return False
    needed = size.memory_bytes(is_possible)
    if is_possible and needed <= free_bytes:
        return True
    advice = ["`--batch-tokens` lower"]
    if not is_possible:
        advice.append("`--method prompt`")
    if size.is_full:
        advice.append("`--method lora`")
    elif device == "cuda" and size.base_bytes_per_value > 1:
        advice.append("`--quantization nf4`")
    elif device == "cpu":
        advice.append("a GPU with `--device cuda --quantization nf4`")
    raise OutOfMemory(
        f"Training needs about {needed / 1e9:.1f} GB and {device} has {free_bytes / 1e9:.1f} GB free. Choose a smaller "
        f"model, or {' or '.join(advice)}."
    )


def base_bytes_per_value(quantization: str, is_float32: bool) -> float:
    """Memory of a frozen weight."""
    return _NF4_BYTES if quantization == "nf4" else 4.0 if is_float32 else 2.0
