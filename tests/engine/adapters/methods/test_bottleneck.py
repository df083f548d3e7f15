from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftType
from safetensors.torch import load_file

import adapter_fixtures
from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.files import WEIGHTS_FILE
from starcoder_ls.engine.adapters.methods.bottleneck import Bottleneck, BottleneckLayer


def test_method_has_a_name_in_peft() -> None:
    assert PeftType("BOTTLENECK").value == "BOTTLENECK"
    assert PeftType.BOTTLENECK in list(PeftType)
    peft_compat.register_method("bottleneck", object, object, "adapter_")  # the second registration has no effect
    assert len([member for member in PeftType if member.value == "BOTTLENECK"]) == 1


def test_integer_scaling_is_converted_to_float(tmp_path: Path) -> None:
    """Astraios' fork tests isinstance(scaling, float) and leaves such an adapter unscaled."""
    config = read_config(adapter_fixtures.write_config(tmp_path, "BOTTLENECK", scaling=1))
    assert Bottleneck().create_config(config.values).scaling == 1.0


def test_learned_scaling_is_a_weight(starcoder: Path, tmp_path: Path, doubled: object) -> None:
    config = adapter_fixtures.create_peft_config("parallel")
    config.scaling = "learned"
    folder = adapter_fixtures.save_random_adapter(starcoder, tmp_path, config)
    assert sum(key.endswith("adapter_scaling") for key in load_file(folder / WEIGHTS_FILE)) == 2
    loaded = doubled(starcoder, 16, {"own": folder})  # type: ignore[operator]
    assert len(loaded.adapters.find("own").targets[0].weights()) == 3


def test_merge_and_unmerge_raise() -> None:
    layer = BottleneckLayer(torch.nn.Linear(6, 4), "parallel", "a", adapter_fixtures.create_peft_config("parallel"))
    with pytest.raises(NotImplementedError, match="not linear"):
        layer.merge()
    with pytest.raises(NotImplementedError):
        layer.unmerge()


def test_layer_sums_several_active_adapters_and_can_be_disabled() -> None:
    layer = BottleneckLayer(torch.nn.Linear(6, 4), "parallel", "a", adapter_fixtures.create_peft_config("adapterh"))
    layer.add_adapter("b", adapter_fixtures.create_peft_config("adapterh"))
    x = torch.randn(2, 6)
    base = layer.base_layer(x)
    expected = base + layer.delta("a", x) + layer.delta("b", x)
    layer.set_adapter(["a", "b"], inference_mode=True)
    torch.testing.assert_close(layer(x), expected)
    layer.enable_adapters(False)
    assert torch.equal(layer(x), base)
