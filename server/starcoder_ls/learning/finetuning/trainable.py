"""A base model with the weights that are trained: how it computes, which weights these are, and how they are saved."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from starcoder_ls.engine import attention_functions
from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.engine.adapters.files import FINGERPRINT_KEY, WEIGHTS_FILE
from starcoder_ls.engine.loading import integrity
from starcoder_ls.engine.model_shape import attention_window, input_device
from starcoder_ls.learning import blockwise_attention, training_attention


@dataclass(frozen=True, slots=True)
class BaseIdentity:
    """Which base the weights were trained on: the settings' name of it, and ``compute_fingerprint``'s result."""

    name: str
    fingerprint: str


class Trainable(ABC):
    """``model`` is a transformers model. Weights are saved as files that the engine's registry of methods reads."""

    virtual_tokens = 0
    """How many positions of the context the method uses."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        return input_device(self.model)

    @abstractmethod
    def named_weights(self) -> Mapping[str, torch.nn.Parameter]:
        """The weights that are trained, by the names that they have in files. All others are frozen."""

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """The last hidden states.  # [rows, time] -> [rows, time, width]"""
        window = attention_window(self.model.config)
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        attention = blockwise_attention if ids.device.type == "cpu" else training_attention
        is_causal_only = window is None or window >= ids.shape[1]
        if self._is_checkpointed():  # the layers run again after this method has returned
            attention_functions.use(self.model, attention.IMPLEMENTATION if is_causal_only else "sdpa")
            return self._run(input_ids=ids, position_ids=positions)
        with attention.installed_in(self.model) if is_causal_only else nullcontext():
            return self._run(input_ids=ids, position_ids=positions)

    @abstractmethod
    def save(self, folder: Path, base: BaseIdentity) -> None:
        """Write the trained weights to ``folder``, which exists. Raises OSError."""

    def _is_checkpointed(self) -> bool:
        modules = self.model.base_model.modules()
        return any(getattr(module, "gradient_checkpointing", False) for module in modules)

    def _run(self, **inputs: Any) -> torch.Tensor:
        hidden: torch.Tensor = self.model.base_model(use_cache=False, **inputs).last_hidden_state
        return hidden


class FrozenBase(Trainable):
    """A base without an adapter: to measure its losses."""

    def named_weights(self) -> Mapping[str, torch.nn.Parameter]:
        return {}

    def save(self, folder: Path, base: BaseIdentity) -> None:
        """Nothing is trained."""


def write_adapter(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], base: BaseIdentity
) -> None:
    """Write an adapter's files: configuration, weights with the fingerprint of the base, and their hashes.

    Raises OSError.
    """
    contiguous = {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / WEIGHTS_FILE, {"format": "pt", FINGERPRINT_KEY: base.fingerprint})
    saved = {"base_model_name_or_path": base.name, "inference_mode": True, "task_type": "CAUSAL_LM", **config}
    (folder / CONFIG_FILE).write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    integrity.write_manifest(folder, (CONFIG_FILE, WEIGHTS_FILE))
