from __future__ import annotations

import torch
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

from starcoder_ls.engine import attention_functions
from starcoder_ls.learning import loss, training_attention


def create_model() -> GPTBigCodeForCausalLM:
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_inner": 64, "n_positions": 32, "vocab_size": 50}
    config = GPTBigCodeConfig(
        initializer_range=0.3, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, **sizes
    )
    return GPTBigCodeForCausalLM(config).double()


def test_losses_and_gradients_equal_those_of_transformers_attention() -> None:
    ids = torch.randint(5, 50, (3, 20), generator=torch.Generator().manual_seed(1))
    model, losses, gradients = create_model(), [], []
    for name in ("sdpa", training_attention.IMPLEMENTATION):
        model.zero_grad()
        with attention_functions.used_by(model, name):
            found = loss.token_losses(model, ids)
        found.sum().backward()  # type: ignore[no-untyped-call]
        losses.append(found.detach())
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]))
    torch.testing.assert_close(*losses, rtol=0, atol=1e-5)  # the loss itself is computed in float32
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)
    assert float(gradients[0].abs().max()) > 0.1


def test_model_on_a_cpu_uses_transformers_attention() -> None:
    model = create_model()
    with training_attention.installed_in(model):
        assert model.config._attn_implementation == "sdpa"
    with training_attention.installed_in(model.to("meta")):
        assert model.config._attn_implementation == training_attention.IMPLEMENTATION
