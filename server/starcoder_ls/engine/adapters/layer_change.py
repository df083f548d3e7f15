"""What an adapter does to a linear layer ``W``, as data: for code that computes it without PEFT's modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

Position = Literal["input", "parallel", "output"]
"""``W (x + branch(x))``, ``W x + branch(x)``, or ``z + branch(z)`` with ``z = W x``."""


@dataclass(frozen=True, slots=True)
class Branch:
    """``branch(h) = up · f(down · h)``, added at ``position``.

    ``down`` [rank, inputs]; ``up`` [outputs, rank], which contains the scaling; ``non_linearity``: the name of f in
    transformers, "linear" for none.
    """

    position: Position
    down: torch.Tensor
    up: torch.Tensor
    non_linearity: str


@dataclass(frozen=True, slots=True)
class Factors:
    """``W (x · values)`` or ``(W x) · values``, bias included. ``values`` [inputs] or [outputs]."""

    position: Literal["input", "output"]
    values: torch.Tensor


LayerChange = Branch | Factors
