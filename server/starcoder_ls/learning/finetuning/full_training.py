"""Training of all weights of a base; the result is a checkpoint, not an adapter."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.adapters.merge import COPIED_FILES
from starcoder_ls.engine.loading import integrity
from starcoder_ls.learning.finetuning.trainable import BaseIdentity, Trainable


class AllWeights(Trainable):
    """``model`` must be in float32. ``base_folder`` has the tokenizer; the files get the base's type ``dtype``."""

    def __init__(self, model: Any, base_folder: Path, dtype: torch.dtype) -> None:
        super().__init__(model)
        self._base_folder, self._dtype = base_folder, dtype
        model.requires_grad_(True)

    def named_weights(self) -> Mapping[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())

    def save(self, folder: Path, base: BaseIdentity) -> None:
        """Write a checkpoint in the layout of the Hub. Its fingerprint differs from that of the base."""
        del base
        state = {name: weight.detach().to(self._dtype) for name, weight in self.model.state_dict().items()}
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            self.model.save_pretrained(folder, state_dict=state)
        finally:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        for name in COPIED_FILES:
            if (self._base_folder / name).is_file():
                shutil.copy(self._base_folder / name, folder)
        integrity.write_checkpoint_manifest(folder)
