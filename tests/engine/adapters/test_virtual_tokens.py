from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from starcoder_ls.engine.adapters.virtual_tokens import VirtualTokens, key_value_shape
from starcoder_ls.engine.kv_cache.cache import KvCache


def config(**values: int) -> SimpleNamespace:
    return SimpleNamespace(**({"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32} | values))


def test_shape_of_keys_and_values_for_each_family() -> None:
    assert key_value_shape(config(multi_query=True)) == (3, 1, 8)
    assert key_value_shape(config()) == (3, 4, 8)
    assert key_value_shape(config(num_key_value_heads=2)) == (3, 2, 8)
    assert key_value_shape(config(num_key_value_heads=2, head_dim=16)) == (3, 2, 16)


@pytest.mark.parametrize("heads", [1, 2])
def test_prefix_is_keys_before_values_layer_by_layer(heads: int) -> None:
    states = torch.arange(5 * 2 * 3 * heads * 8).float().view(5, -1)
    prompt = VirtualTokens("PREFIX_TUNING", states)
    cache = KvCache(3, 0)
    prompt.write(SimpleNamespace(config=config(num_key_value_heads=heads)), cache)
    assert cache.length == prompt.count == 5
    for layer in range(3):
        keys = states[:, 2 * layer * heads * 8 :][:, : heads * 8].view(5, heads, 8).transpose(0, 1)
        assert torch.equal(cache.layers[layer].keys[0], keys)
