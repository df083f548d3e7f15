from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from starcoder_ls.engine.model_shape import activation_type, key_value_shape


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ({"multi_query": True}, (3, 1, 8)),
        ({}, (3, 4, 8)),
        ({"num_key_value_heads": 2}, (3, 2, 8)),
        ({"num_key_value_heads": 2, "head_dim": 16}, (3, 2, 16)),
    ],
)
def test_key_value_shape_of_each_model_family(values: dict[str, int], shape: tuple[int, int, int]) -> None:
    config = SimpleNamespace(**({"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32} | values))
    assert key_value_shape(config) == shape


def test_activation_type_is_that_of_norms_not_of_matrices() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(4, 2, dtype=torch.float16)
            self.norm = nn.LayerNorm(2)

        def get_input_embeddings(self) -> nn.Embedding:
            return self.embedding

    assert activation_type(Model()) == (torch.device("cpu"), torch.float32)
