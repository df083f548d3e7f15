"""Checks that a model computes finite numbers in float16, which is chosen for GPUs without bfloat16.

float16 ends at 65,504. Models that were trained in bfloat16 or float32 can have larger activations.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from starcoder_ls.engine import model_shape

_log = logging.getLogger(__name__)


def has_finite_logits(model: Any, ids: Sequence[int]) -> bool:
    """Whether the logits after each of ``ids`` are finite. Raises whatever the device raises."""
    with torch.inference_mode():
        rows = torch.tensor([list(ids)], device=model_shape.input_device(model))  # [1, time]
        logits = model(input_ids=rows, use_cache=False).logits  # [1, time, vocabulary]
        is_finite = bool(logits.isfinite().all())
    if not is_finite:
        _log.warning("The model has larger activations than float16 can hold")
    return is_finite
