"""GPTBigCode's forward pass by the compiled kernels: from modules and caches to the addresses that they work on.

Decides when the kernels may stand in for the modules: all layers are the base's own, packed. Refuses to know how a
pass is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner.packed_linear import PackedLinear

_TABLES = {torch.float16: 16, torch.bfloat16: -16, torch.float32: 32}


class CompiledBigCode:
    """Reads tokens behind what caches hold, as ``lean.LeanReader.together`` does, through no adapter."""

    def __init__(self, model: Any) -> None:
        from starcoder_ls.engine.runner.kernels import jit
        from starcoder_ls.engine.runner.kernels.forward import forward, scratch_floats

        self._parallel_threads = jit.parallel_threads
        self._forward: Any = forward
        self._scratch_floats = scratch_floats
        body, config = model.transformer, model.config
        self._width, self._heads, self._inner = config.n_embd, config.n_head, body.h[0].mlp.c_fc.out_features
        self._dim = config.n_embd // config.n_head
        self._kept: list[Any] = []  # whose addresses the table holds
        self._layers = np.array([self._row(block) for block in body.h], dtype=np.int64)
        self._tables = *self._table(body.wte), *self._table(body.wpe)
        self._limits = body.wte.weight.shape[0], body.wpe.weight.shape[0]
        self._eps = np.float32(body.ln_f.eps)
        self._scale = np.float32(self._dim**-0.5 if config.scale_attn_weights else 1.0)
        self._scratch = torch.empty(0)

    def _row(self, block: Any) -> list[int]:
        """The columns that ``kernels.forward`` names."""
        norms = [weight for norm in (block.ln_1, block.ln_2) for weight in (norm.weight, norm.bias)]
        matrices = _matrices(block)
        self._kept += [*norms, *matrices]
        return [weight.data_ptr() for weight in norms] + [number for one in matrices for number in one.described]

    def _table(self, embedding: nn.Embedding) -> tuple[int, int]:
        self._kept.append(embedding.weight)
        return embedding.weight.data_ptr(), _TABLES[embedding.weight.dtype]

    def together(self, several: Sequence[tuple[torch.Tensor, KvCache]]) -> list[torch.Tensor]:
        """Hidden states before the last norm, of every new token: [rows, time] -> [rows, time, width] of each."""
        like = torch.empty(0)
        ids = torch.cat([ids.view(-1) for ids, _ in several])
        first = 0
        places: list[int] = []
        sequences: list[tuple[int, int, int]] = []
        columns: list[list[tuple[int, int]]] = []
        for own, cache in several:
            rows, time = own.shape
            start = cache.length
            storages = cache.writable_storage(rows, start + time, like, self._dim)
            row_bytes = 4 * storages[0][0].stride(0)
            addresses = [(keys.data_ptr(), values.data_ptr()) for keys, values in storages]
            for row in range(rows):
                places += range(start, start + time)
                sequences.append((first, time, start))
                columns.append([(keys + row_bytes * row, values + row_bytes * row) for keys, values in addresses])
                first += time
        with self._parallel_threads(torch.get_num_threads()) as threads:
            hidden = self._computed(ids, places, sequences, columns, threads)
        answers, first = [], 0
        for own, cache in several:
            rows, time = own.shape
            cache.set_length(cache.length + time)
            answers.append(hidden[first : first + rows * time].view(rows, time, -1))
            first += rows * time
        return answers

    def _computed(
        self,
        ids: torch.Tensor,
        places: list[int],
        sequences: list[tuple[int, int, int]],
        columns: list[list[tuple[int, int]]],
        threads: int,
    ) -> torch.Tensor:
        """[tokens, width]; ``columns`` are addresses of keys and values, for each sequence and layer."""
        most = max(start + time for _, time, start in sequences)
        tokens, sizes = len(ids), (self._width, self._heads, self._dim, self._inner, most)
        if (numbers := self._scratch_floats(*sizes, tokens, threads)) > self._scratch.numel():
            self._scratch = torch.empty(numbers)
        hidden = torch.empty(tokens, self._width)
        self._forward(
            self._layers,
            *self._tables,
            np.array((*sizes, threads, *self._limits), dtype=np.int64),
            self._eps,
            self._scale,
            ids.numpy(),
            np.array(places, dtype=np.int64),
            np.array(sequences, dtype=np.int64),
            np.ascontiguousarray(np.array(columns, dtype=np.int64).transpose(1, 0, 2)),
            hidden.data_ptr(),
            self._scratch.data_ptr(),
        )
        return hidden


def _matrices(block: Any) -> tuple[Any, ...]:
    return block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj


def needs_compilation() -> bool:
    """The kernels are still to be compiled on this machine."""
    from starcoder_ls.engine.runner.kernels import jit

    return jit.needs_compilation()


def fits(model: Any) -> bool:
    """Whether all that a pass goes through is what the kernels compute, ``lean`` having found the shape right."""
    return (
        all(type(one) is PackedLinear for block in model.transformer.h for one in _matrices(block))
        and all(type(block.mlp.act).__name__ == "GELUTanh" for block in model.transformer.h)
        and (model.config.n_embd // model.config.n_head) % 64 == 0
        and all(table.weight.dtype in _TABLES for table in (model.transformer.wte, model.transformer.wpe))
    )
