"""Sums of LoRA adapters: an adapter that is trained on top of another one is saved as one adapter that does both.

The sum of two products of low rank is one product with both ranks: ``B1 A1 + B2 A2 = [B1 B2] [A1; A2]``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from starcoder_ls.engine.adapters.resident_adapters import PreparedAdapter
from starcoder_ls.errors import SettingsError

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, slots=True)
class LoraWeights:
    """``tensors`` by their names in files. A weight is changed by ``scale`` times the product of its two matrices."""

    tensors: Mapping[str, torch.Tensor]
    scale: float

    @property
    def paths(self) -> list[str]:
        """The paths of the modules, as the names in files have them."""
        return [name.removesuffix(_DOWN) for name in self.tensors if name.endswith(_DOWN)]

    def down(self, path: str) -> torch.Tensor:
        """[rank, inputs]"""
        return self.tensors[path + _DOWN].detach().float().cpu()

    def up(self, path: str) -> torch.Tensor:
        """With the scale.  # [outputs, rank]"""
        return self.scale * self.tensors[path + _UP].detach().float().cpu()


def read_lora(adapter: PreparedAdapter) -> LoraWeights:
    """Raises SettingsError if ``adapter`` is of another method."""
    config = adapter.files.config
    if config.method.peft_type != "LORA":
        raise SettingsError(
            f"{adapter.source} is a {config.method.peft_type} adapter, and only LoRA can be trained further. Merge it "
            "with `starcoder-ls adapters merge` and give the result as `--model`, or start without it: `--start none`."
        )
    rank = config.values["r"]
    divisor = math.sqrt(rank) if config.values["use_rslora"] else rank
    return LoraWeights(adapter.tensors, config.values["lora_alpha"] / divisor)


def add_to_base(model: Any, lora: LoraWeights) -> None:
    """Add the updates to the weights of ``model``; rounded to their type."""
    with torch.no_grad():
        for path in lora.paths:
            weight = model.get_submodule(path.removeprefix("base_model.model.")).weight
            update = lora.up(path) @ lora.down(path)
            weight.copy_((weight.float() + update.to(weight.device)).to(weight.dtype))


def concatenate(first: LoraWeights, second: LoraWeights) -> LoraWeights:
    """The adapter that does what both do, with scale 1. A module that only one changes gets zeros for the other."""
    tensors: dict[str, torch.Tensor] = {}
    ranks = [len(lora.down(lora.paths[0])) for lora in (first, second)]
    for path in dict.fromkeys([*first.paths, *second.paths]):
        known = first if path in first.paths else second
        inputs, outputs = known.down(path).shape[1], len(known.up(path))
        downs, ups = [], []
        for lora, rank in zip((first, second), ranks, strict=True):
            has_path = path in lora.paths
            downs.append(lora.down(path) if has_path else torch.zeros(rank, inputs))
            ups.append(lora.up(path) if has_path else torch.zeros(outputs, rank))
        tensors[path + _DOWN], tensors[path + _UP] = torch.cat(downs), torch.cat(ups, 1)
    return LoraWeights(tensors, 1.0)
