from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import prefill_attention

IDS = torch.randint(20, 600, (2, 60), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 1), (6, 2), (4, 4)])
@pytest.mark.parametrize(("time", "tokens"), [(1, 30), (7, 30), (30, 30)])
def test_attend_agrees_with_a_causal_mask(heads: int, kv_heads: int, time: int, tokens: int) -> None:
    random = torch.Generator().manual_seed(heads + time)
    query = torch.randn(2, heads, time, 16, generator=random, dtype=torch.float64)
    key, value = torch.randn(2, 2, kv_heads, tokens, 16, generator=random, dtype=torch.float64)
    output, _ = prefill_attention.attend(None, query, key, value, None, scaling=0.3)
    mask = torch.ones(time, tokens, dtype=torch.bool).tril(tokens - time)
    copies = [states.repeat_interleave(heads // kv_heads, 1) for states in (key, value)]
    expected = functional.scaled_dot_product_attention(query, *copies, attn_mask=mask, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", ["starcoder", "santacoder", "starcoder2", "llama", "qwen2"])
def test_chunks_have_the_hidden_states_of_one_pass(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    model: Any = doubled(request.getfixturevalue(family)).runner.model
    window = 16 if family == "starcoder2" else 60
    assert prefill_attention.supports(model, window)
    assert prefill_attention.supports(model, window + 1) == (family != "starcoder2")
    with torch.inference_mode():
        ids = IDS[:, :window]
        expected = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        with prefill_attention.installed_in(model):
            cache, parts = KvCache(model.config.num_hidden_layers, 64), []
            for start, end in ((0, 5), (5, 6), (6, window)):
                parts.append(model.base_model(input_ids=ids[:, start:end], past_key_values=cache, use_cache=True)[0])
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=0, atol=1e-9)
    assert model.config._attn_implementation == "sdpa"


def test_mutant_that_is_causal_from_the_left_changes_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn.attention.bias import causal_upper_left

    query, key, value = torch.randn(3, 1, 2, 9, 8, dtype=torch.float64)
    right, _ = prefill_attention.attend(None, query[:, :, :4], key, value, None, scaling=0.3)
    monkeypatch.setattr(prefill_attention, "causal_lower_right", causal_upper_left)
    wrong, _ = prefill_attention.attend(None, query[:, :, :4], key, value, None, scaling=0.3)
    assert float((right - wrong).abs().max()) > 1e-3
