from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import adapter_fixtures
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.files import WEIGHTS_FILE
from starcoder_ls.engine.adapters.methods.bottleneck import Bottleneck


def test_integer_scaling_is_converted_to_float(tmp_path: Path) -> None:
    """Astraios' fork tests isinstance(scaling, float) and leaves such an adapter unscaled."""
    config = read_config(adapter_fixtures.write_config(tmp_path, "BOTTLENECK", scaling=1))
    assert isinstance(config.values["scaling"], float)


def test_learned_scaling_is_a_weight(starcoder: Path, tmp_path: Path, doubled: object) -> None:
    config = adapter_fixtures.create_peft_config("parallel")
    config.scaling = "learned"
    folder = adapter_fixtures.save_random_adapter(starcoder, tmp_path, config)
    assert sum(key.endswith("adapter_scaling") for key in load_file(folder / WEIGHTS_FILE)) == 2
    loaded = doubled(starcoder, 16, {"own": folder})  # type: ignore[operator]
    assert len(loaded.adapters.find("own").targets[0].weights()) == 3


def test_targets_are_the_modules_whose_path_ends_in_a_name() -> None:
    """As PEFT matches them: at whole parts of a path."""
    block = {"c_attn": torch.nn.Linear(6, 8), "xc_attn": torch.nn.Linear(6, 8), "c_proj": torch.nn.Linear(8, 6)}
    model = torch.nn.ModuleDict(
        {"h": torch.nn.ModuleList([torch.nn.ModuleDict(block)]), "c_attn": torch.nn.Linear(2, 2)}
    )
    before = dict(model.named_modules())
    values = Bottleneck().default_values() | {"target_modules": ["c_attn"], "use_parallel_adapter": True}
    targets = Bottleneck().create_layers(values, model)
    assert [(target.path, target.name) for target in targets] == [("h.0.c_attn", "c_attn"), ("c_attn", "c_attn")]
    assert dict(model.named_modules()) == before
    assert {weight.device.type for target in targets for weight in target.weights().values()} == {"meta"}


@pytest.mark.parametrize(
    ("name", "is_parallel", "reason"),
    [("wte", True, "wte is not a linear layer"), ("q_proj", True, "none of the modules q_proj"), ("lm", False, "lm")],
)
def test_module_that_cannot_be_adapted_is_an_error(name: str, is_parallel: bool, reason: str) -> None:
    model = torch.nn.ModuleDict({"wte": torch.nn.Embedding(4, 4), "lm": torch.nn.Linear(4, 4)})
    values = Bottleneck().default_values() | {"target_modules": [name], "use_parallel_adapter": is_parallel}
    with pytest.raises(ValueError, match=reason):
        Bottleneck().create_layers(values, model)
