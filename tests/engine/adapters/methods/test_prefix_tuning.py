from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from starcoder_ls.engine.adapters.methods.prefix_tuning import KeyValueTokens, PrefixTuning
from starcoder_ls.engine.adapters.virtual_token_method import TENSOR
from starcoder_ls.engine.kv_cache.cache import KvCache

LAYERS, HEAD_WIDTH, TOKENS = 3, 8, 5


def model(heads: int) -> Any:
    config = {"num_hidden_layers": LAYERS, "num_attention_heads": 4, "hidden_size": 4 * HEAD_WIDTH}
    return SimpleNamespace(config=SimpleNamespace(num_key_value_heads=heads, **config))


@pytest.mark.parametrize("heads", [1, 2])
def test_states_are_written_as_keys_before_values_of_each_layer(heads: int) -> None:
    width = heads * HEAD_WIDTH
    states = torch.arange(TOKENS * 2 * LAYERS * width).float().view(TOKENS, -1)
    tokens, cache = KeyValueTokens(states), KvCache(LAYERS, 0)
    tokens.write(model(heads), cache)
    assert cache.length == tokens.count == TOKENS
    for layer in range(LAYERS):
        columns = states[:, 2 * layer * width :]
        for stored, start in ((cache.layers[layer].keys, 0), (cache.layers[layer].values, width)):
            expected = columns[:, start : start + width].view(TOKENS, heads, HEAD_WIDTH).transpose(0, 1)
            assert torch.equal(stored[0], expected)


def test_expected_tensor_has_keys_and_values_of_all_layers() -> None:
    shapes = PrefixTuning().tensor_shapes({"num_virtual_tokens": TOKENS}, model(2), [])
    assert shapes == {TENSOR: (TOKENS, 2 * LAYERS * 2 * HEAD_WIDTH)}
