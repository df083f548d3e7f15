"""The methods of ``train adapter`` by their names on the command line, with the learning rates of each.

Rates are for a base of width 256 and fall with the width: 4e-3 there was the best of a sweep, and published recipes for
widths of 4,096 and more use 2e-4 to 3e-4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.learning.finetuning import layer_training, virtual_token_training
from starcoder_ls.learning.finetuning.full_training import AllWeights
from starcoder_ls.learning.finetuning.trainable import Trainable

_SWEPT_WIDTH = 256
_MIN_RATE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Method:
    """``build(model, architecture, rank)`` adds the weights to a model; None: all weights are trained.

    ``learning_rate`` is for width 256; ``matrix_learning_rate`` is Muon's, 0: AdamW updates all weights.
    """

    build: Callable[[Any, str, int], Trainable] | None
    learning_rate: float
    matrix_learning_rate: float = 0.0
    default_rank: int = 16
    allows_checkpointing: bool = True

    def rate_for(self, width: int) -> float:
        """The peak learning rate for a base of this width."""
        return self.learning_rate * max(_MIN_RATE_SHARE, min(1.0, _SWEPT_WIDTH / width))


METHODS: Mapping[str, Method] = {
    "lora": Method(layer_training.add_lora, 4e-3),
    "ia3": Method(layer_training.add_ia3, 2e-2),
    "parallel": Method(layer_training.add_parallel, 4e-3, default_rank=64),
    "prompt": Method(lambda model, _architecture, _rank: virtual_token_training.PromptTuning(model), 3e-2),
    "ptuning": Method(lambda model, _architecture, _rank: virtual_token_training.PTuning(model), 1e-2),
    "prefix": Method(
        lambda model, _architecture, _rank: virtual_token_training.PrefixTuning(model), 1e-2, allows_checkpointing=False
    ),
    "full": Method(None, 1e-3, matrix_learning_rate=1e-2),
}


def build_trainable(name: str, model: Any, checkpoint: Checkpoint, rank: int, dtype: Any) -> Trainable:
    """The model with the method's weights, which begin the same in every run.

    ``dtype`` is that of the base's files, for checkpoints that are written.
    """
    torch.manual_seed(0)
    method = METHODS[name]
    if method.build is None:
        return AllWeights(model, checkpoint.folder, dtype)
    return method.build(model, checkpoint.architecture, rank)
