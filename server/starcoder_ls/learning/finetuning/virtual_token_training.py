"""Training of methods that put virtual tokens before a text: prompt tuning, P-Tuning, prefix tuning.

What is saved of each is what the engine reads: embeddings, or keys and values, of the virtual tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from starcoder_ls.engine.adapters.virtual_token_method import TENSOR
from starcoder_ls.engine.model_shape import key_value_shape
from starcoder_ls.learning.finetuning.trainable import BaseIdentity, Trainable, write_adapter

VIRTUAL_TOKENS = 20
_ENCODER_WIDTH = 128
_PREFIX_STD = 0.02


class VirtualTokens(Trainable):
    """``weights`` [virtual tokens, width of the method], in float32."""

    peft_type: str

    def __init__(self, model: Any, count: int = VIRTUAL_TOKENS) -> None:
        super().__init__(model)
        model.requires_grad_(False)
        self.virtual_tokens = count

    @abstractmethod
    def states(self) -> torch.Tensor:
        """What is put before a text.  # [virtual tokens, width of the method]"""

    def save(self, folder: Path, base: BaseIdentity) -> None:
        with torch.no_grad():
            tensors = {TENSOR: self.states()}
        write_adapter(folder, {"peft_type": self.peft_type, "num_virtual_tokens": self.virtual_tokens}, tensors, base)


class PromptTuning(VirtualTokens):
    """Embeddings that begin as those of ordinary tokens, drawn with a fixed seed (Lester et al. 2021)."""

    peft_type = "PROMPT_TUNING"

    def __init__(self, model: Any, count: int = VIRTUAL_TOKENS) -> None:
        super().__init__(model, count)
        table = model.get_input_embeddings().weight
        rows = torch.randint(0, len(table), (count,), generator=torch.Generator().manual_seed(0))
        self._embeddings = torch.nn.Parameter(table[rows.to(table.device)].detach().clone().float())

    def named_weights(self) -> Mapping[str, torch.nn.Parameter]:
        return {TENSOR: self._embeddings}

    def states(self) -> torch.Tensor:
        return self._embeddings

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """[rows, time] -> [rows, time, width]"""
        embedded = self.model.get_input_embeddings()(ids)
        virtual = self.states().to(embedded.dtype).expand(len(ids), -1, -1)
        return self._run(inputs_embeds=torch.cat((virtual, embedded), dim=1))[:, self.virtual_tokens :]


class PTuning(PromptTuning):
    """Embeddings computed by a small network, which is not saved (Liu et al. 2021)."""

    peft_type = "P_TUNING"

    def __init__(self, model: Any, count: int = VIRTUAL_TOKENS) -> None:
        super().__init__(model, count)
        width = self._embeddings.shape[1]
        layers = torch.nn.Linear(width, _ENCODER_WIDTH), torch.nn.ReLU(), torch.nn.Linear(_ENCODER_WIDTH, width)
        self._encoder = torch.nn.Sequential(*layers).to(self._embeddings.device)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in self._encoder.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)

    def named_weights(self) -> Mapping[str, torch.nn.Parameter]:
        return {TENSOR: self._embeddings, **{f"encoder.{name}": w for name, w in self._encoder.named_parameters()}}

    def states(self) -> torch.Tensor:
        encoded: torch.Tensor = self._encoder(self._embeddings)
        return self._embeddings + encoded


class PrefixTuning(VirtualTokens):
    """Keys and values of every layer (Li & Liang 2021), in PEFT's order: a layer's keys before its values."""

    peft_type = "PREFIX_TUNING"

    def __init__(self, model: Any, count: int = VIRTUAL_TOKENS) -> None:
        super().__init__(model, count)
        self._shape = layers, heads, head_width = key_value_shape(model.config)
        noise = torch.randn(count, 2 * layers * heads * head_width, generator=torch.Generator().manual_seed(0))
        self._states = torch.nn.Parameter((noise * _PREFIX_STD).to(self.device))

    def named_weights(self) -> Mapping[str, torch.nn.Parameter]:
        return {TENSOR: self._states}

    def states(self) -> torch.Tensor:
        return self._states

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """[rows, time] -> [rows, time, width]"""
        layers, heads, head_width = self._shape
        dtype = self.model.get_input_embeddings().weight.dtype
        # [tokens, 2 · layers, heads, head width] -> [2 · layers, 1, heads, tokens, head width]
        states = self._states.view(self.virtual_tokens, 2 * layers, heads, head_width).permute(1, 2, 0, 3)[:, None]
        states = states.to(dtype).expand(-1, len(ids), -1, -1, -1)
        cache = DynamicCache()
        for layer in range(layers):
            cache.update(states[2 * layer], states[2 * layer + 1], layer)
        positions = torch.arange(self.virtual_tokens, self.virtual_tokens + ids.shape[1], device=ids.device)[None]
        output = self.model.base_model(
            input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state
        hidden: torch.Tensor = output
        return hidden
