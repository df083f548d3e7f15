"""Checks the sizes in a checkpoint's config against bounds and against its tensors, before a model is built from them.

The architecture and the number of embeddings are taken from the tensors if the config does not state them, or states
another number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.engine.loading.safetensors_files import WeightFiles
from starcoder_ls.errors import ModelInvalid

BIGCODE = "GPTBigCodeForCausalLM"
MODEL_TYPES = {
    "gpt_bigcode": BIGCODE,
    "starcoder2": "Starcoder2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
}

_BIGCODE_NAMES = {
    "num_hidden_layers": "n_layer", "hidden_size": "n_embd", "num_attention_heads": "n_head",
    "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
}  # fmt: skip

MAX_LAYERS = 512
MAX_HEADS = 1024
MAX_WIDTH = 1 << 17
MAX_VOCABULARY = 1 << 21
MAX_CONTEXT_TOKENS = 1 << 22
MAX_MISSING_FACTOR = 1.25
MAX_LEARNED_POSITIONS = 1 << 15
"""GPTBigCode builds a causal mask of context² bytes while it is loaded: 1 GB at this limit."""

_EMBEDDINGS = re.compile(r"(?:.*\.)?(?:wte|embed_tokens)\.weight")
_LAYER_NUMBER = re.compile(r"(?:.*\.)?(?:h|layers)\.(\d{1,9})\.")
_BIGCODE_LAYER = re.compile(r"(?:.*\.)?h\.0\.attn\.c_attn\.weight")
_STARCODER2_LAYER = re.compile(r"(?:.*\.)?layers\.0\.mlp\.c_fc\.weight")
_LLAMA_LAYER = re.compile(r"(?:.*\.)?layers\.0\.mlp\.gate_proj\.weight")
_QWEN2_BIAS = re.compile(r"(?:.*\.)?layers\.0\.self_attn\.q_proj\.bias")


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """The sizes of a model that are checked; ``intermediate`` is the width inside an MLP."""

    layers: int
    width: int
    heads: int
    key_value_heads: int
    head_width: int
    intermediate: int
    context_tokens: int
    vocabulary: int

    def matrix_values(self, architecture: str) -> int:
        """Number of values of the embeddings and of the matrices in the blocks; biases, norms and an untied output
        layer come on top."""
        attention = self.width * self.head_width * (2 * self.heads + 2 * self.key_value_heads)
        matrices = 3 if architecture in ("LlamaForCausalLM", "Qwen2ForCausalLM") else 2
        embeddings = self.vocabulary + (self.context_tokens if architecture == BIGCODE else 0)
        return embeddings * self.width + self.layers * (attention + matrices * self.width * self.intermediate)


def find_architecture(config: Mapping[str, Any], weights: WeightFiles) -> str | None:
    """The architecture of a config that names none, from ``model_type`` and the tensors; None if they do not tell."""
    by_type = config.get("model_type")
    if by_type is not None:
        return MODEL_TYPES.get(by_type) if isinstance(by_type, str) else None
    if shape := _shape_of(_BIGCODE_LAYER, weights):
        # GPT-2 has the same names and stores these matrices transposed.
        embeddings = _shape_of(_EMBEDDINGS, weights)
        return BIGCODE if embeddings and len(shape) == 2 and shape[1] == embeddings[-1] else None
    if _shape_of(_STARCODER2_LAYER, weights):
        return MODEL_TYPES["starcoder2"]
    if _shape_of(_LLAMA_LAYER, weights):
        return MODEL_TYPES["qwen2" if _shape_of(_QWEN2_BIAS, weights) else "llama"]
    return None


def read_sizes(folder: Path, architecture: str, config: Mapping[str, Any], weights: WeightFiles) -> ModelSizes:
    """The sizes of the model. ``vocabulary`` is the number of embeddings that there are.

    Raises ModelInvalid with the key if one is no number, out of bounds, or not that of the tensors.
    """
    is_bigcode = architecture == BIGCODE
    reader = _SizeReader(folder / "config.json", config, is_bigcode)
    layers = reader.read(MAX_LAYERS, "num_hidden_layers")
    width = reader.read(MAX_WIDTH, "hidden_size")
    heads = reader.read(MAX_HEADS, "num_attention_heads")
    key_value_heads = reader.read(MAX_HEADS, "num_key_value_heads", default=heads)
    if is_bigcode:
        key_value_heads = 1 if config.get("multi_query", True) else heads
    head_width = reader.read(MAX_WIDTH, "head_dim", default=width // heads or 1)
    if heads % key_value_heads or (is_bigcode and head_width * heads != width):
        raise ModelInvalid(
            f"{folder / 'config.json'} states {heads} attention heads, {key_value_heads} of keys and values and the "
            f"width {width}, which do not divide each other. Download the checkpoint again."
        )
    sizes = ModelSizes(
        layers=layers,
        width=width,
        heads=heads,
        key_value_heads=key_value_heads,
        head_width=head_width,
        intermediate=reader.read(8 * MAX_WIDTH, "intermediate_size", default=4 * width),
        context_tokens=reader.read(
            MAX_LEARNED_POSITIONS if is_bigcode else MAX_CONTEXT_TOKENS, "max_position_embeddings"
        ),
        vocabulary=_count_embeddings(reader, weights),
    )
    _require_tensors(folder, architecture, sizes, weights)
    return sizes


class _SizeReader:
    """Reads positive integers of one config. GPTBigCode has two names for most, and transformers reads both."""

    def __init__(self, file: Path, config: Mapping[str, Any], is_bigcode: bool) -> None:
        self._file, self._config, self._is_bigcode = file, config, is_bigcode

    def read(self, limit: int, key: str, default: int | None = None) -> int:
        """The value of ``key``, which is transformers' common name, or of its older name; ``default`` if it is null.

        Raises ModelInvalid unless it is an integer from 1 to ``limit``, or if it is missing without a default.
        """
        keys = [_BIGCODE_NAMES.get(key, key), key] if self._is_bigcode else [key]
        values = {name: self._config[name] for name in keys if self._config.get(name) is not None}
        if not values and default is not None:
            return default
        if not values:
            raise ModelInvalid(f"{self._file} lacks `{keys[0]}`. Download the checkpoint again.")
        for name, value in values.items():
            if type(value) is not int or not 1 <= value <= limit:
                raise ModelInvalid(
                    f"{self._file} sets `{name}` to {value!r:.40}, but it must be an integer from 1 to {limit:,}. "
                    "Download the checkpoint again."
                )
        if len(set(values.values())) > 1:
            raise ModelInvalid(f"{self._file} sets {' and '.join(values)} to different values. Correct it.")
        return int(values[next(iter(values))])


def _count_embeddings(reader: _SizeReader, weights: WeightFiles) -> int:
    """Raises ModelInvalid."""
    stated = reader.read(MAX_VOCABULARY, "vocab_size")
    shape = _shape_of(_EMBEDDINGS, weights)
    return shape[0] if shape and len(shape) == 2 and 1 <= shape[0] <= MAX_VOCABULARY else stated


def _require_tensors(folder: Path, architecture: str, sizes: ModelSizes, weights: WeightFiles) -> None:
    """Raise ModelInvalid if ``sizes`` need more layers than the tensors have, or far more values.

    ``weight_check`` names single tensors that are missing, once the model is loaded.
    """
    numbers = {int(match[1]) for name in weights.shapes if (match := _LAYER_NUMBER.match(name))}
    if numbers and len(numbers) < sizes.layers:
        raise ModelInvalid(
            f"{folder / 'config.json'} states {sizes.layers:,} layers, and the weights have {len(numbers)}. "
            "Download the checkpoint again."
        )
    needed = sizes.matrix_values(architecture)
    if needed > MAX_MISSING_FACTOR * weights.values:
        raise ModelInvalid(
            f"{folder / 'config.json'} describes a model of {needed:,} weights, and its files contain "
            f"{weights.values:,}: weights are missing, or the config is another model's. Download it again."
        )


def _shape_of(pattern: re.Pattern[str], weights: WeightFiles) -> tuple[int, ...] | None:
    """The shape of the first tensor whose whole name matches."""
    return next((shape for name, shape in weights.shapes.items() if pattern.fullmatch(name)), None)
