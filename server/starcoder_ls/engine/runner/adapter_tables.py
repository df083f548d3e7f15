"""The adapters whose layers the compiled pass applies: their weights as the kernels read them.

A table belongs to one adapter and holds its weights. It is released with the adapter, so no address outlives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from starcoder_ls.engine.adapters.layer_change import Factors, LayerChange
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.adapters.target_module import TargetModule
from starcoder_ls.engine.runner.architectures import Architecture

_INPUT_ALIGNMENT = 16
"""The kernels multiply vectors of 16; a row of activations is followed by zeros up to a multiple of it."""


_ALL_BLOCKS = 1 << 40
"""More blocks of outputs than a product has."""


class AdapterTable:
    """What one adapter changes of each product of a model: [layers, 4, parts, columns], described in the kernels.

    A product is computed at once, unless ``separate_inputs`` was called for it.
    """

    def __init__(self, layers: int) -> None:
        from starcoder_ls.engine.runner.kernels import adapter

        self._kernel = adapter
        self._change_product = adapter.change_product_address()
        self.changes = np.zeros((layers, 4, adapter.PARTS, adapter.COLUMNS), dtype=np.int64)
        self.changes[:, :, 0, adapter.END_BLOCK] = _ALL_BLOCKS
        self._own_inputs: list[np.ndarray] = []  # rows of ``changes`` whose input is a copy
        self._rank = self._widest_input = 0
        self._weights: list[torch.Tensor] = []  # the table holds their addresses
        self._scratch = torch.empty(0)

    def add(self, layer: int, product: int, part: int, change: LayerChange, first_output: int) -> None:
        """Describe the change of one matrix, whose outputs begin at ``first_output`` of those of the product."""
        kernel, row = self._kernel, self.changes[layer, product, part]
        row[kernel.POSITION] = kernel.Position[change.position.upper()]
        row[kernel.FIRST_OUTPUT] = first_output
        if isinstance(change, Factors):
            row[kernel.OUTPUTS] = row[kernel.INPUTS] = len(change.values)
            row[kernel.FACTORS] = self._address(change.values)
            return
        row[kernel.OUTPUTS], row[kernel.RANK] = change.up.shape
        row[kernel.NON_LINEARITY] = kernel.NonLinearity[change.non_linearity.upper()]
        down = change.down.detach()
        if missing := -down.shape[1] % _INPUT_ALIGNMENT:
            down = nn.functional.pad(down, (0, missing))
        row[kernel.INPUTS] = down.shape[1]
        row[kernel.DOWN] = self._address(down)
        row[kernel.UP] = self._address(_pack_outputs(change.up.detach()))
        row[kernel.FUNCTION] = kernel.compute_share_address()
        self._rank = max(self._rank, change.up.shape[1])

    def separate_inputs(self, layer: int, product: int, first_outputs: Sequence[int]) -> None:
        """Multiply by the matrices of a product one by one; an added change of the input then applies to its own only.

        ``first_outputs``: where the outputs of each matrix begin.
        """
        kernel, parts = self._kernel, self.changes[layer, product]
        ends = [first // kernel.TILE_OUTPUTS for first in first_outputs[1:]]
        parts[: len(first_outputs), kernel.END_BLOCK] = [*ends, _ALL_BLOCKS]
        self._own_inputs += [row for row in parts if row[kernel.POSITION] == kernel.Position.INPUT]
        self._widest_input = max(int(row[kernel.INPUTS]) for row in self._own_inputs)

    def arguments(self, rows: int, threads: int) -> tuple[int, int, int]:
        """The argument ``adapter`` of ``kernels.forward`` for so many tokens. Valid until the next call."""
        kernel, input_floats = self._kernel, rows * self._widest_input
        sums_floats = kernel.scratch_floats(self._rank, rows, threads)
        if (numbers := sums_floats + kernel.PARTS * input_floats) > self._scratch.numel():
            self._scratch = torch.empty(numbers)
        for number, row in enumerate(self._own_inputs):
            row[kernel.OWN_INPUT] = self._scratch.data_ptr() + 4 * (sums_floats + number % kernel.PARTS * input_floats)
        return self._change_product, self.changes.ctypes.data, self._scratch.data_ptr()

    def _address(self, weight: torch.Tensor) -> int:
        """The address of ``weight`` as contiguous float32, which stays where it is as long as the table exists."""
        self._weights.append(weight.detach().float().contiguous())
        return self._weights[-1].data_ptr()


class AdapterTables:
    """The tables of the resident adapters of one model, each built when it is first asked for."""

    def __init__(self, model: Any, architecture: Architecture) -> None:
        self._layers = model.get_submodule(architecture.layers)
        self._architecture = architecture
        self._tables: WeakKeyDictionary[ResidentAdapter, AdapterTable | None] = WeakKeyDictionary()

    def find(self, adapter: ResidentAdapter) -> AdapterTable | None:
        """The table of ``adapter``; None if the kernels cannot compute one of its layers."""
        if adapter not in self._tables:
            self._tables[adapter] = self._build(adapter)
        return self._tables[adapter]

    def _build(self, adapter: ResidentAdapter) -> AdapterTable | None:
        targets = {target.path: target for target in adapter.targets}
        table = AdapterTable(len(self._layers))
        first_outputs: dict[tuple[int, int], list[int]] = {}
        separate: set[tuple[int, int]] = set()
        for layer, product, part, path, first_output in self._matrices(targets):
            first_outputs.setdefault((layer, product), []).append(first_output)
            if (target := targets.pop(path, None)) is None:
                continue
            change = adapter.method.layer_change(target)
            if change is None:
                return None
            table.add(layer, product, part, change, first_output)
            if change.position == "input" and len(self._architecture.products[product]) > 1:
                separate.add((layer, product))
        for layer, product in separate:
            table.separate_inputs(layer, product, first_outputs[layer, product])
        return None if targets else table

    def _matrices(self, targets: Mapping[str, TargetModule]) -> list[tuple[int, int, int, str, int]]:
        """Layer, product, part, path and first output of each matrix of the pass."""
        found = []
        for layer, module in enumerate(self._layers):
            for product, names in enumerate(self._architecture.products):
                first_output = 0
                for part, name in enumerate(names):
                    path = f"{self._architecture.layers}.{layer}.{name}"
                    found.append((layer, product, part, path, first_output))
                    matrix: Any = targets[path].base_layer if path in targets else module.get_submodule(name)
                    first_output += matrix.packed_bias.numel()
        return found


def _pack_outputs(up: torch.Tensor) -> torch.Tensor:
    """[outputs, rank] -> [blocks, rank, 64]; the last block is padded with 0."""
    from starcoder_ls.engine.runner.kernels.tiles import TILE_OUTPUTS

    padded = nn.functional.pad(up, (0, 0, 0, -len(up) % TILE_OUTPUTS))
    return padded.view(-1, TILE_OUTPUTS, up.shape[1]).transpose(1, 2).contiguous()
