"""GPTBigCode's forward pass in compiled kernels: passes the addresses of weights and caches to them.

The kernels compute the base model only. While an adapter's layers are active the runner uses ``BigCodeCpu`` instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner.packed_linear import PackedLinear

_EMBEDDING_TYPES = {torch.float16: 16, torch.bfloat16: -16, torch.float32: 32}
"""The kernels' numbers of the types of embeddings."""


class CompiledBigCode:
    """Computes what ``BigCodeCpu`` computes. The base model's weights must stay where they are."""

    def __init__(self, model: Any) -> None:
        from starcoder_ls.engine.runner.kernels import jit
        from starcoder_ls.engine.runner.kernels.forward import forward, scratch_floats

        self._exclusive_threads = jit.parallel_threads
        self._forward: Any = forward
        self._scratch_floats = scratch_floats
        body, config = model.transformer, model.config
        self._width, self._heads, self._inner = config.n_embd, config.n_head, body.h[0].mlp.c_fc.out_features
        self._dim = config.n_embd // config.n_head
        self._referenced: list[Any] = []  # the layer table holds their addresses
        self._layers = np.array([self._layer_row(block) for block in body.h], dtype=np.int64)
        self._embeddings = *self._embedding(body.wte), *self._embedding(body.wpe)
        self._limits = body.wte.weight.shape[0], body.wpe.weight.shape[0]
        self._eps = np.float32(body.ln_f.eps)
        self._scale = np.float32(self._dim**-0.5 if config.scale_attn_weights else 1.0)
        self._scratch = torch.empty(0)

    def _layer_row(self, block: Any) -> list[int]:
        """A row of the layer table, whose columns ``kernels.forward`` names."""
        norms = [weight for norm in (block.ln_1, block.ln_2) for weight in (norm.weight, norm.bias)]
        matrices = _matrices(block)
        self._referenced += [*norms, *matrices]
        return [weight.data_ptr() for weight in norms] + [
            number for matrix in matrices for number in matrix.kernel_args
        ]

    def _embedding(self, embedding: nn.Embedding) -> tuple[int, int]:
        """Address and type of a table of embeddings."""
        self._referenced.append(embedding.weight)
        return embedding.weight.data_ptr(), _EMBEDDING_TYPES[embedding.weight.dtype]

    def hidden_states(self, inputs: Sequence[tuple[torch.Tensor, KvCache]]) -> list[torch.Tensor]:
        """Hidden states before the last norm of every new token, which are written to the caches.

        ids [rows, time] of each cache -> [rows, time, width] of each. Raises IndexError for a token or a position that
        the model does not have.
        """
        like = torch.empty(0)
        ids = torch.cat([ids.view(-1) for ids, _ in inputs])
        first = 0
        positions: list[int] = []
        sequences: list[tuple[int, int, int]] = []  # first token, number of tokens, first position
        addresses: list[list[tuple[int, int]]] = []  # keys and values, by sequence and layer
        for own, cache in inputs:
            rows, time = own.shape
            start = cache.length
            storages = cache.writable_storage(rows, start + time, like, self._dim)
            row_bytes = 4 * storages[0][0].stride(0)
            layers = [(keys.data_ptr(), values.data_ptr()) for keys, values in storages]
            for row in range(rows):
                positions += range(start, start + time)
                sequences.append((first, time, start))
                addresses.append([(keys + row_bytes * row, values + row_bytes * row) for keys, values in layers])
                first += time
        with self._exclusive_threads(torch.get_num_threads()) as threads:
            hidden = self._compute(ids, positions, sequences, addresses, threads)
        outputs, first = [], 0
        for own, cache in inputs:
            rows, time = own.shape
            cache.set_length(cache.length + time)
            outputs.append(hidden[first : first + rows * time].view(rows, time, -1))
            first += rows * time
        return outputs

    def _compute(
        self,
        ids: torch.Tensor,
        positions: list[int],
        sequences: list[tuple[int, int, int]],
        addresses: list[list[tuple[int, int]]],
        threads: int,
    ) -> torch.Tensor:
        """The hidden states of all tokens: [tokens, width]."""
        longest = max(start + time for _, time, start in sequences)
        tokens, sizes = len(ids), (self._width, self._heads, self._dim, self._inner, longest)
        if (numbers := self._scratch_floats(*sizes, tokens, threads)) > self._scratch.numel():
            self._scratch = torch.empty(numbers)
        hidden = torch.empty(tokens, self._width)
        self._forward(
            self._layers,
            *self._embeddings,
            np.array((*sizes, threads, *self._limits), dtype=np.int64),
            self._eps,
            self._scale,
            ids.numpy(),
            np.array(positions, dtype=np.int64),
            np.array(sequences, dtype=np.int64),
            np.ascontiguousarray(np.array(addresses, dtype=np.int64).transpose(1, 0, 2)),
            hidden.data_ptr(),
            self._scratch.data_ptr(),
        )
        return hidden


def _matrices(block: Any) -> tuple[Any, ...]:
    return block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj


def needs_compilation() -> bool:
    """Whether the kernels are still to be compiled on this machine."""
    from starcoder_ls.engine.runner.kernels import jit

    return jit.needs_compilation()


def supports(model: Any) -> bool:
    """Whether the kernels compute all layers of ``model``, which ``bigcode_cpu`` supports: packed, with GELU and heads
    of a multiple of 64."""
    return (
        all(type(matrix) is PackedLinear for block in model.transformer.h for matrix in _matrices(block))
        and all(type(block.mlp.act).__name__ == "GELUTanh" for block in model.transformer.h)
        and (model.config.n_embd // model.config.n_head) % 64 == 0
        and all(table.weight.dtype in _EMBEDDING_TYPES for table in (model.transformer.wte, model.transformer.wpe))
    )
