"""LoRA beside a frozen linear layer as one operation in 16 bits, for training on a CPU.

PEFT's layer under autocast casts its input twice, and adds the branch and its gradients in tensors of their own. These
passes over memory take longer than the products of a small model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from starcoder_ls.engine.adapters.target_module import ADAPTER_NAME


def use_one_operation(layer: Any) -> None:
    """Let PEFT's LoRA layer, which has no dropout, compute that way under autocast on a CPU.

    Layers beside a quantized or trained base stay as they are.
    """
    base = layer.base_layer
    if type(base) is torch.nn.Linear and base.weight.is_floating_point() and not base.weight.requires_grad:
        layer.forward = _forward_of(layer, layer.forward)


def _forward_of(layer: Any, of_peft: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    base, scaling = layer.base_layer, float(layer.scaling[ADAPTER_NAME])

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out]"""
        if inputs.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return of_peft(inputs)
        down, up = layer.lora_A[ADAPTER_NAME].weight, layer.lora_B[ADAPTER_NAME].weight
        output: torch.Tensor = _LoraLinear.apply(inputs, base.weight, base.bias, down, up, scaling)  # type: ignore[no-untyped-call]
        return output

    return forward


class _LoraLinear(torch.autograd.Function):
    """``inputs`` [..., in]; ``weight`` [out, in] and ``bias`` [out] or None, which get no gradient;
    ``down`` [rank, in]; ``up`` [out, rank] -> [..., out] in the type of autocast."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        dtype = torch.get_autocast_dtype("cpu")
        flat = inputs.reshape(-1, inputs.shape[-1]).to(dtype)
        weight, down, up = weight.to(dtype), down.to(dtype), up.to(dtype)
        reduced = flat @ down.t()
        output = flat @ weight.t() if bias is None else torch.addmm(bias.to(dtype), flat, weight.t())
        output.addmm_(reduced, up.t(), alpha=scaling)
        ctx.save_for_backward(flat, weight, down, up, reduced)
        ctx.scaling, ctx.input_type = scaling, inputs.dtype
        return output.view(*inputs.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, weight, down, up, reduced = ctx.saved_tensors
        shape = gradients[0].shape
        to_output = gradients[0].reshape(-1, shape[-1])
        to_reduced = (to_output @ up).mul_(ctx.scaling)
        to_down = (to_reduced.t() @ flat).float()
        to_up = (to_output.t() @ reduced).float().mul_(ctx.scaling)
        to_inputs = (to_output @ weight).addmm_(to_reduced, down).to(ctx.input_type)
        return to_inputs.view(*shape[:-1], -1), None, None, to_down, to_up, None
