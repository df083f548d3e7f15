from __future__ import annotations

import pytest
import torch
import transformers

from starcoder_ls.engine.loading.checkpoint import ARCHITECTURES as LOADABLE
from starcoder_ls.engine.runner.architectures import ARCHITECTURES

SIZES = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96}


def create_model(name: str, **changes: object) -> torch.nn.Module:
    """A model of an architecture without weights."""
    model_class = getattr(transformers, name)
    with torch.device("meta"):
        model: torch.nn.Module = model_class(model_class.config_class(**SIZES, **changes))
    return model


def test_every_architecture_that_can_be_loaded_has_an_entry() -> None:
    assert set(ARCHITECTURES) == LOADABLE


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_entry_names_every_parameter_of_the_model(name: str) -> None:
    """So no bias, norm or matrix of a layer is left out of the pass."""
    architecture, model = ARCHITECTURES[name], create_model(name)
    in_layer = [
        *architecture.norms, *architecture.query_key_value, architecture.attention_output, *architecture.mlp_input,
        architecture.mlp_output,
    ]  # fmt: skip
    modules = [f"{architecture.layers}.{layer}.{path}" for layer in range(3) for path in in_layer]
    modules += filter(None, [architecture.tokens, architecture.positions, architecture.last_norm])
    named = {f"{path}.{kind}" for path in modules for kind in ("weight", "bias")}
    parameters = {parameter for parameter, _ in model.named_parameters()}
    assert parameters - {"lm_head.weight"} <= named
    assert {path for path in modules if f"{path}.weight" in parameters} == set(modules)
    if architecture.rotary is not None:
        assert hasattr(model.get_submodule(architecture.rotary), "inv_freq")


@pytest.mark.parametrize(
    ("name", "changes", "windows"),
    [
        ("Starcoder2ForCausalLM", {"sliding_window": 16}, [16, 16, 16]),
        ("Starcoder2ForCausalLM", {"sliding_window": None}, [None, None, None]),
        (
            "Qwen2ForCausalLM",
            {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2},
            [None, None, 16],
        ),
        ("Qwen2ForCausalLM", {"use_sliding_window": False, "sliding_window": 16}, [None, None, None]),
        ("LlamaForCausalLM", {}, [None, None, None]),
    ],
)
def test_window_of_each_layer(name: str, changes: dict[str, object], windows: list[int | None]) -> None:
    config = create_model(name, **changes).config
    assert [ARCHITECTURES[name].window(config, layer) for layer in range(3)] == windows
