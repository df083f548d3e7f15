"""Virtual tokens, which P-Tuning, prompt tuning and prefix tuning put before a text.

The tokens are written to a KV cache once, while it is empty; the text that follows then gets the right positions
without further changes to the model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch

from starcoder_ls.engine.kv_cache.cache import KvCache


@dataclass(frozen=True, slots=True)
class VirtualTokens(ABC):
    """``states``: [tokens, width of the method's representation], on the device and in the type of activations."""

    states: torch.Tensor

    @property
    def count(self) -> int:
        return int(self.states.shape[0])

    def write(self, model: Any, cache: KvCache) -> None:
        """Append the tokens to ``cache``, which must be empty."""
        with torch.inference_mode():
            self._append_to(cache, model)

    @abstractmethod
    def _append_to(self, cache: KvCache, model: Any) -> None: ...


class EmbeddingTokens(VirtualTokens):
    """``states``: [tokens, hidden size], embeddings that the model reads like those of text."""

    def _append_to(self, cache: KvCache, model: Any) -> None:
        model.base_model(inputs_embeds=self.states[None], past_key_values=cache, use_cache=True)
