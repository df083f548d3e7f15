"""The architectures that the compiled pass computes: where a transformers model keeps its weights, and what they mean.

An architecture is one entry of ``ARCHITECTURES``; the pass itself is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Architecture:
    """Paths of modules: first those of a model, up to ``last_norm``, then those of each of its layers.

    ``positions`` is a table of learned positions, ``rotary`` the module that computes cosines and sines; one of them is
    None. ``query_key_value`` and ``mlp_input`` are matrices with the same input; two of the latter are the gate and the
    values of SwiGLU. ``window(config, layer)``: how many positions that layer attends to, None for all.
    """

    layers: str
    tokens: str
    positions: str | None
    rotary: str | None
    last_norm: str
    norms: tuple[str, str]
    query_key_value: tuple[str, ...]
    attention_output: str
    mlp_input: tuple[str, ...]
    mlp_output: str
    activation: str
    window: Callable[[Any, int], int | None]

    @property
    def products(self) -> tuple[tuple[str, ...], ...]:
        """The matrix products of a layer in their order, each with the names of its matrices."""
        return self.query_key_value, (self.attention_output,), self.mlp_input, (self.mlp_output,)


def _no_window(_config: Any, _layer: int) -> int | None:
    return None


def _same_window(config: Any, _layer: int) -> int | None:
    window: int | None = config.sliding_window
    return window


def _window_by_layer(config: Any, layer: int) -> int | None:
    window: int | None = config.sliding_window
    return window if config.layer_types[layer] == "sliding_attention" else None


_GPT_BIGCODE = Architecture(
    layers="transformer.h",
    tokens="transformer.wte",
    positions="transformer.wpe",
    rotary=None,
    last_norm="transformer.ln_f",
    norms=("ln_1", "ln_2"),
    query_key_value=("attn.c_attn",),
    attention_output="attn.c_proj",
    mlp_input=("mlp.c_fc",),
    mlp_output="mlp.c_proj",
    activation="mlp.act",
    window=_no_window,
)
_STARCODER2 = Architecture(
    layers="model.layers",
    tokens="model.embed_tokens",
    positions=None,
    rotary="model.rotary_emb",
    last_norm="model.norm",
    norms=("input_layernorm", "post_attention_layernorm"),
    query_key_value=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    attention_output="self_attn.o_proj",
    mlp_input=("mlp.c_fc",),
    mlp_output="mlp.c_proj",
    activation="mlp.act",
    window=_same_window,
)
_LLAMA = replace(
    _STARCODER2,
    mlp_input=("mlp.gate_proj", "mlp.up_proj"),
    mlp_output="mlp.down_proj",
    activation="mlp.act_fn",
    window=_no_window,
)
_QWEN2 = replace(_LLAMA, window=_window_by_layer)

ARCHITECTURES = {
    "GPTBigCodeForCausalLM": _GPT_BIGCODE,
    "Starcoder2ForCausalLM": _STARCODER2,
    "LlamaForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": _QWEN2,
}
"""By the name of the transformers class."""

FIXED_ROTARY_TYPES = frozenset({"default", "linear", "llama3", "yarn"})
"""``rope_type`` whose angle of a position is the same in every text; those of "dynamic" and "longrope" grow with it."""
