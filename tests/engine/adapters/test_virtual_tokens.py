from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from starcoder_ls.engine.adapters.virtual_tokens import EmbeddingTokens
from starcoder_ls.engine.kv_cache.cache import KvCache


def test_embeddings_are_read_by_the_model_once_into_the_cache() -> None:
    states, cache, calls = torch.randn(5, 32), KvCache(3, 0), []

    def base_model(**arguments: Any) -> None:
        calls.append(arguments)

    tokens = EmbeddingTokens(states)
    tokens.write(SimpleNamespace(base_model=base_model), cache)
    assert tokens.count == 5
    assert [(call["inputs_embeds"].shape, call["past_key_values"]) for call in calls] == [((1, 5, 32), cache)]
