from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from starcoder_ls.engine.adapters.virtual_token_method import TENSOR, EmbeddingMethod


def test_embedding_method_expects_one_tensor_of_the_hidden_size() -> None:
    class Method(EmbeddingMethod):
        peft_type = "TEST"

    model: Any = SimpleNamespace(config=SimpleNamespace(hidden_size=32))
    assert Method().tensor_shapes({"num_virtual_tokens": 7}, model, []) == {TENSOR: (7, 32)}
    assert Method().create_layers({}, model) == []
