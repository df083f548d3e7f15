from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from starcoder_ls.learning.finetuning import lora_linear
from starcoder_ls.learning.finetuning.layer_training import LayerAdapter, add_lora
from training_fixtures import load_base


def add_random_lora(folder: Path) -> LayerAdapter:
    model, checkpoint, _ = load_base(folder)
    trainable = add_lora(model, checkpoint.architecture, 2)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in trainable.named_weights().values():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    return trainable


def gradients_of(layer: Any, inputs: torch.Tensor, is_narrow: bool) -> list[torch.Tensor]:
    """Output and gradients of the input and of the two matrices."""
    trained = [weight for weight in layer.parameters() if weight.requires_grad]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_narrow):
        output = layer(inputs)
    upstream = torch.linspace(-1, 1, output.numel()).view_as(output).to(output.dtype)
    return [output, *torch.autograd.grad(output, [inputs, *trained], upstream)]


def test_operation_has_the_results_of_the_layer(starcoder: Path) -> None:
    for layer in add_random_lora(starcoder).layers:
        inputs = torch.randn(2, 3, layer.in_features, generator=torch.Generator().manual_seed(1), requires_grad=True)
        expected, found = gradients_of(layer, inputs, False), gradients_of(layer, inputs, True)
        assert found[0].dtype == torch.bfloat16
        assert {gradient.dtype for gradient in found[1:]} == {torch.float32}
        for one, other in zip(found, expected, strict=True):
            assert float(((one.float() - other).norm() / other.norm()).detach()) < 0.02


def test_layer_beside_a_trained_base_stays(starcoder: Path) -> None:
    layer: Any = add_random_lora(starcoder).layers[0]
    del layer.forward
    layer.base_layer.weight.requires_grad_(True)
    lora_linear.use_one_operation(layer)
    assert "forward" not in vars(layer)
    layer.base_layer.weight.requires_grad_(False)
    lora_linear.use_one_operation(layer)
    assert "forward" in vars(layer)
