"""How many tokens a training step has, from the free memory of a GPU."""

from __future__ import annotations

CPU_TOKENS = 4096
MAX_TOKENS = 131_072
"""More tokens in a step make it no faster per token, and leave fewer steps."""

MEMORY_SHARE = 0.6
"""Of the free memory, for what a step keeps until its backward pass. The rest is for weights, gradients, optimizer and
workspace."""

_LAYER_VALUES = 34
"""Values of 16 bits that a layer keeps for each element of a token, with an inner width of four times its width
(Korthikanti et al. 2022, arXiv 2205.05198, without the attention matrix, which flash attention does not store)."""

_LOGIT_BYTES = 4 + 4 + 2
"""Logits in float32, their gradient, and the product in 16 bits."""


def batch_tokens(layers: int, width: int, vocabulary_size: int, row_tokens: int, free_bytes: int) -> int:
    """The largest power of two of tokens that fits ``free_bytes``, at least one row, at most ``MAX_TOKENS``."""
    token_bytes = layers * width * _LAYER_VALUES * 2 + vocabulary_size * _LOGIT_BYTES
    fitting = int(MEMORY_SHARE * free_bytes / token_bytes)
    tokens = MAX_TOKENS
    while tokens > fitting and tokens > row_tokens:
        tokens //= 2
    return max(tokens, row_tokens)
