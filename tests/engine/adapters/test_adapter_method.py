from __future__ import annotations

import pytest

from starcoder_ls.engine.adapters.adapter_method import layer_tensor_names


@pytest.mark.parametrize(
    ("name", "is_match"),
    [
        ("base_model.model.transformer.h.0.attn.c_attn.ia3_l", True),
        ("base_model.model.transformer.h.0.attn.c_attn.weight", False),
        ("transformer.h.0.attn.c_attn.ia3_l", False),
        ("base_model.model.transformer.h.0.attn.c_attn.ia3_l.weight", False),
        ("base_model.model.a b.ia3_l", False),
    ],
)
def test_layer_tensor_names_match_peft_paths_with_the_suffix(name: str, is_match: bool) -> None:
    assert bool(layer_tensor_names("ia3_l").fullmatch(name)) == is_match
