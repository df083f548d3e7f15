"""Whether a graph computes what the plain pass computes, as far as its kernels can."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from starcoder_ls.engine.logits import Logits

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-2}
TOLERANCE = 0.3
"""Largest allowed difference of a graph's logits from those of the plain pass, in units of their standard deviation;
this one is for 16-bit types. Other kernels round differently; a wrong mask or position changes them by more than 1."""


def excessive_difference(found: Sequence[Logits], expected: Sequence[torch.Tensor], dtype: torch.dtype) -> float | None:
    """The first difference between ``found`` and ``expected`` ([n, vocabulary] each) that is too large for ``dtype``.

    In units of the standard deviation of the expected logits; NaN if there are NaNs. None if all are small enough.
    """
    bound = TOLERANCES.get(dtype, TOLERANCE)
    for ours, plain in zip(found, expected, strict=True):
        if not len(ours):
            continue
        spread = float(plain.std())
        difference = float((ours.values - plain).abs().max())
        if not difference <= bound * spread:  # also for NaN
            return difference / spread
    return None
