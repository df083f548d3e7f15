from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from starcoder_ls.learning import blockwise_attention
from starcoder_ls.learning.blockwise_attention import BLOCK


def random_inputs(heads: int, key_heads: int, time: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, heads, time, 8), (2, key_heads, time, 8), (2, key_heads, time, 8))
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 1), (4, 2), (2, 2)])
@pytest.mark.parametrize("time", [5, BLOCK, 2 * BLOCK + 7])
def test_output_and_gradients_equal_those_of_torch(heads: int, key_heads: int, time: int) -> None:
    inputs, upstream = random_inputs(heads, key_heads, time), torch.randn(2, time, heads, 8, dtype=torch.float64)
    query, key, value = inputs
    expected = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=0.5, enable_gqa=True
    ).transpose(1, 2)
    found, _ = blockwise_attention.attend(None, query, key, value, None, 0.5)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_autocast_computes_in_its_type() -> None:
    inputs = [tensor.float() for tensor in random_inputs(4, 1, 9)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow, _ = blockwise_attention.attend(None, *inputs, None, 0.5)
    wide, _ = blockwise_attention.attend(None, *inputs, None, 0.5)
    assert (narrow.dtype, wide.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(narrow.float(), wide, rtol=0, atol=0.03)


def test_kept_values_are_those_of_the_probabilities() -> None:
    query, key, value = (tensor.bfloat16() for tensor in random_inputs(4, 1, 4 * BLOCK))
    output, _ = blockwise_attention.attend(None, query, key, value, None, 0.5)
    function = output.grad_fn
    while not hasattr(function, "saved_tensors"):
        assert function is not None
        function = function.next_functions[0][0]
    kept = sum(tensor.numel() for tensor in function.saved_tensors[3:])
    assert kept == blockwise_attention.kept_values(heads=4, tokens=2 * 4 * BLOCK, row_tokens=4 * BLOCK)
