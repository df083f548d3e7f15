"""A model's forward pass in compiled kernels: passes the addresses of weights and caches to them.

An adapter's layers are tables of changes that the kernels apply. While one is active that they cannot apply, the runner
uses another pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from starcoder_ls.engine import model_shape
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.pauses import Pauses
from starcoder_ls.engine.runner import architectures, packed_linear
from starcoder_ls.engine.runner.adapter_tables import AdapterTable, AdapterTables
from starcoder_ls.engine.runner.architectures import Architecture
from starcoder_ls.engine.runner.packed_linear import PackedLinear

_EMBEDDING_TYPES = {torch.float16: 16, torch.bfloat16: -16, torch.float32: 32}
"""The kernels' numbers of the types of embeddings."""

_ACTIVATIONS = {
    ("GELUTanh", 1): 0, ("NewGELUActivation", 1): 0, ("FastGELUActivation", 1): 0, ("SiLUActivation", 2): 1,
    ("GELUActivation", 1): 2,
}  # fmt: skip
"""The kernels' number of an activation, by its class and the number of matrices before it."""

_UNLIMITED = 1 << 40
"""A number of positions that no text reaches."""

_NO_ADAPTER = (0, 0, 0)
"""The kernels' arguments for an adapter, without one."""

ROTARY_GROWTH = 1024
"""Positions by which the table of rotations grows."""


class CompiledPass:
    """Computes what the model's own ``forward`` computes. The base model's weights must stay where they are."""

    def __init__(self, model: Any) -> None:
        from starcoder_ls.engine.runner.kernels import attention, elementwise, forward, jit

        self._exclusive_threads = jit.parallel_threads
        self._forward: Any = forward.forward
        self._multiply_address = forward.multiply_address
        self._scratch_floats: Any = forward.scratch_floats
        self._normalize: Any = elementwise.norm
        architecture, config = architectures.ARCHITECTURES[type(model).__name__], model.config
        layers, tokens = model.get_submodule(architecture.layers), model.get_submodule(architecture.tokens)
        _, self._kv_heads, self._dim = model_shape.key_value_shape(config)
        self._width, heads = tokens.weight.shape[1], int(config.num_attention_heads)
        self._referenced: list[Any] = []  # the layer table holds their addresses
        self._layers = np.array(
            [self._layer_row(architecture, layer, architecture.window(config, n)) for n, layer in enumerate(layers)],
            dtype=np.int64,
        )
        positions = None if architecture.positions is None else model.get_submodule(architecture.positions)
        self._tokens = self._embedding(tokens)
        self._positions = (0, 0) if positions is None else self._embedding(positions)
        self._rotary = None if architecture.rotary is None else RotaryTable(model.get_submodule(architecture.rotary))
        last_norm = model.get_submodule(architecture.last_norm)
        self._norm_weights = self._norm_addresses(last_norm)
        self._norm_kind, self._eps = _norm_kind(last_norm), np.float32(_eps(last_norm))
        first = layers[0]
        inner = first.get_submodule(architecture.mlp_input[0]).out_features
        max_positions = _UNLIMITED if positions is None else positions.weight.shape[0]
        self._sizes = (
            self._width, heads, self._kv_heads, self._dim, inner, self._norm_kind, _activation(architecture, first),
            tokens.weight.shape[0], max_positions, attention.attend_address(),
        )  # fmt: skip
        self._scale = np.float32(self._dim**-0.5 if getattr(config, "scale_attn_weights", True) else 1.0)
        self._scratch = torch.empty(0)
        self._adapter_tables = AdapterTables(model, architecture)

    def can_apply(self, adapter: ResidentAdapter | None) -> bool:
        """Whether ``hidden_states`` can apply the layers of ``adapter``; virtual tokens have none."""
        return adapter is None or not adapter.targets or self._adapter_tables.find(adapter) is not None

    def _layer_row(self, architecture: Architecture, layer: Any, window: int | None) -> list[int]:
        """A row of the layer table, whose columns ``kernels.forward`` names."""
        row = [address for name in architecture.norms for address in self._norm_addresses(layer.get_submodule(name))]
        for matrices in _matrices(architecture, layer):
            self._referenced += matrices
            row += packed_linear.join(matrices)
        return [*row, window or _UNLIMITED]

    def _norm_addresses(self, norm: Any) -> tuple[int, int]:
        """Addresses of weight and bias; 0 where a norm has none."""
        weights = norm.weight, getattr(norm, "bias", None)
        self._referenced += weights
        weight, bias = (0 if tensor is None else tensor.data_ptr() for tensor in weights)
        return weight, bias

    def _embedding(self, embedding: nn.Embedding) -> tuple[int, int]:
        """Address and type of a table of embeddings."""
        self._referenced.append(embedding.weight)
        return embedding.weight.data_ptr(), _EMBEDDING_TYPES[embedding.weight.dtype]

    def hidden_states(
        self,
        inputs: Sequence[tuple[torch.Tensor, KvCache]],
        adapter: ResidentAdapter | None = None,
        pauses: Pauses | None = None,
    ) -> list[torch.Tensor]:
        """Hidden states before the last norm of every new token, which are written to the caches.

        ids [rows, time] of each cache -> [rows, time, width] of each. The layers of ``adapter``, which ``can_apply``
        accepts, are applied. Stops for ``pauses`` between layers. Raises IndexError for a token or a position that the
        model does not have, and what a pause raises.
        """
        table = None if adapter is None or not adapter.targets else self._adapter_tables.find(adapter)
        like = torch.empty(0)
        ids = torch.cat([ids.view(-1) for ids, _ in inputs])
        first = longest = 0
        positions: list[int] = []
        sequences: list[tuple[int, int, int]] = []  # first token, number of tokens, first position
        addresses: list[list[tuple[int, int, int]]] = []  # keys, values, bytes between heads, by sequence and layer
        for own, cache in inputs:
            rows, time = own.shape
            start = cache.length
            storages = cache.writable_storage(rows, start + time, like, self._kv_heads, self._dim)
            layers = [(k.data_ptr(), v.data_ptr(), 4 * k.stride(0), 4 * k.stride(1)) for k, v in storages]
            for row in range(rows):
                positions += range(start, start + time)
                sequences.append((first, time, start))
                addresses.append([(k + row_bytes * row, v + row_bytes * row, head) for k, v, row_bytes, head in layers])
                first += time
            longest = max(longest, start + time)
        hidden = torch.empty(len(ids), self._width)
        tokens = ids.numpy(), np.array(positions, dtype=np.int64), np.array(sequences, dtype=np.int64)
        by_layer = np.ascontiguousarray(np.array(addresses, dtype=np.int64).transpose(1, 0, 2))
        for first_and_end in self._slices(pauses):
            self._compute(first_and_end, (*tokens, by_layer), longest, table, hidden)
        outputs, first = [], 0
        for own, cache in inputs:
            rows, time = own.shape
            cache.set_length(cache.length + time)
            outputs.append(hidden[first : first + rows * time].view(rows, time, -1))
            first += rows * time
        return outputs

    def norm(self, hidden: torch.Tensor) -> torch.Tensor:
        """The last norm, whose output the output layer reads.  # [n, width] -> [n, width]"""
        hidden = hidden.contiguous()
        normed, row = torch.empty_like(hidden), 4 * self._width
        self._normalize(
            self._norm_kind, hidden.data_ptr(), row, *self._norm_weights, self._width, self._eps, len(hidden),
            normed.data_ptr(), row,
        )  # fmt: skip
        return normed

    def _slices(self, pauses: Pauses | None) -> Iterator[tuple[int, int]]:
        """First layer and end of each slice of the layers, between which ``pauses`` are made."""
        layers = len(self._layers) if pauses is None else pauses.layers
        for first in range(0, len(self._layers), layers):
            if first and pauses is not None:
                pauses.pause()
            yield first, min(first + layers, len(self._layers))

    def _compute(
        self,
        first_and_end: tuple[int, int],
        tokens: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        longest: int,
        adapter: AdapterTable | None,
        hidden: torch.Tensor,
    ) -> None:
        """Change ``hidden`` [tokens, width] as a slice of the layers does.

        ``tokens``: ids, positions, sequences and caches as in ``kernels.forward``; ``longest``: tokens of the longest
        sequence. What other passes use too may have moved since the last slice: scratch memory, rotations.
        """
        count = len(tokens[0])
        with self._exclusive_threads(torch.get_num_threads()) as threads:
            sizes = np.array((*self._sizes, longest, threads, *first_and_end), dtype=np.int64)
            if (numbers := self._scratch_floats(sizes, count)) > self._scratch.numel():
                self._scratch = torch.empty(numbers)
            self._forward(
                self._layers,
                *self._tokens,
                *self._positions,
                0 if self._rotary is None else self._rotary.address(longest),
                sizes,
                self._eps,
                self._scale,
                *tokens,
                hidden.data_ptr(),
                self._scratch.data_ptr(),
                (self._multiply_address(), *(_NO_ADAPTER if adapter is None else adapter.arguments(count, threads))),
            )


class RotaryTable:
    """Cosines and sines of the angles of each position, computed once by transformers' own module.

    ``table`` [positions, head_dim] float32: for each position the cosines, then the sines, of half of the pairs each.
    """

    def __init__(self, rotary: nn.Module) -> None:
        self._rotary = rotary
        self.table = torch.empty(0)

    def address(self, positions: int) -> int:
        """The address of the table, which has ``positions`` rows or more. Valid until the next call."""
        while len(self.table) < positions:
            known = len(self.table)
            new = torch.arange(known, known + ROTARY_GROWTH)[None]
            halves = [values[0, :, : values.shape[-1] // 2] for values in self._rotary(torch.empty(0), new)]
            table = torch.cat(halves, -1).float()
            self.table = torch.cat((self.table, table)) if known else table
        return self.table.data_ptr()


def _matrices(architecture: Architecture, layer: Any) -> list[list[Any]]:
    """The four products of a layer, of which each can have several matrices with the same input."""
    return [[layer.get_submodule(name) for name in names] for names in architecture.products]


def _norm_kind(norm: nn.Module) -> int:
    """The kernels' number: 0 is layer norm, 1 RMS norm."""
    return 0 if isinstance(norm, nn.LayerNorm) else 1


def _eps(norm: Any) -> float:
    return float(norm.eps if isinstance(norm, nn.LayerNorm) else norm.variance_epsilon)


def _activation(architecture: Architecture, layer: Any) -> int | None:
    """The kernels' number of a layer's activation; None if they do not have it."""
    name = type(layer.get_submodule(architecture.activation)).__name__
    return _ACTIVATIONS.get((name, len(architecture.mlp_input)))


def needs_compilation() -> bool:
    """Whether the kernels are still to be compiled on this machine."""
    from starcoder_ls.engine.runner.kernels import jit

    return jit.needs_compilation()


def supports(model: Any) -> bool:
    """Whether the kernels compute all layers of ``model``: a known architecture, packed, with an activation, positions
    and widths that they have."""
    architecture = architectures.ARCHITECTURES.get(type(model).__name__)
    if architecture is None:
        return False
    config, layers = model.config, model.get_submodule(architecture.layers)
    groups = [matrices for layer in layers for matrices in _matrices(architecture, layer)]
    tables = [model.get_submodule(name) for name in (architecture.tokens, architecture.positions) if name]
    rotary = None if architecture.rotary is None else model.get_submodule(architecture.rotary)
    return (
        all(type(matrix) is PackedLinear for matrices in groups for matrix in matrices)
        and all(len({matrix.weight_format for matrix in matrices}) == 1 for matrices in groups)
        and all(_activation(architecture, layer) is not None for layer in layers)
        and (rotary is None or rotary.rope_type in architectures.FIXED_ROTARY_TYPES)
        and getattr(config, "multi_query", True)  # several heads are interleaved in c_attn otherwise
        and not getattr(config, "add_cross_attention", False)
        and model_shape.key_value_shape(config)[2] % 64 == 0
        and tables[0].weight.shape[1] % 16 == 0
        and all(table.weight.dtype in _EMBEDDING_TYPES for table in tables)
        and all(weight.device.type == "cpu" for weight in model.parameters())  # none is offloaded to the disk
    )
