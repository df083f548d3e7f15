from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import adapter_fixtures
from starcoder_ls.engine.adapters.adapter_method import PeftLayerMethod
from starcoder_ls.engine.adapters.config import CONFIG_FILE, read_config
from starcoder_ls.engine.adapters.registry import METHODS
from starcoder_ls.errors import AdapterInvalid


@pytest.mark.parametrize("name", adapter_fixtures.GOLDEN_NAMES)
def test_published_config_is_accepted(name: str) -> None:
    config = read_config(adapter_fixtures.GOLDEN / name)
    assert config.method.uses_virtual_tokens == (name == "ptuning")
    if isinstance(config.method, PeftLayerMethod):
        assert config.method.create_config(config.values).inference_mode


@pytest.mark.parametrize("peft_type", METHODS)
def test_unknown_keys_with_empty_values_are_ignored(peft_type: str, tmp_path: Path) -> None:
    adapter_fixtures.write_config(tmp_path, peft_type, of_a_later_peft=None, another=False, more=[], bias="none")
    config = read_config(tmp_path)
    assert config.method is METHODS[peft_type]
    assert config.values.keys() == config.method.config_checks.keys()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("runtime_config", {"ephemeral_gpu_offload": False}),
        ("eva_config", {"rho": 2.0}),
        ("init_lora_weights", "eva"),
        ("qalora_group_size", 32),
        ("megatron_core", "megatron.core"),
        ("a_newer_mode", "auto"),
        ("a_newer_number", 0),
        ("a_newer_table", {"x": False, "y": [], "z": {"w": None}}),
        ("a_newer_dropout", 0.1),
        ("unsloth_fixed", True),
    ],
)
def test_newer_key_that_changes_nothing_is_accepted(key: str, value: Any, tmp_path: Path) -> None:
    read_config(adapter_fixtures.write_config(tmp_path, "LORA", **{key: value}))


def test_option_of_an_unused_feature_is_accepted(tmp_path: Path) -> None:
    read_config(adapter_fixtures.write_config(tmp_path, "LORA", use_tora=False, tora_rank=8))
    with pytest.raises(AdapterInvalid, match="sets `use_tora` to True"):
        read_config(adapter_fixtures.write_config(tmp_path, "LORA", use_tora=True, tora_rank=8))


def test_message_escapes_what_the_file_contains(tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid) as caught:
        read_config(adapter_fixtures.write_config(tmp_path, "LORA", **{"a\x1b[31m\nb": "c\x1b\n"}))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("peft_type", [None, 7, "XLORA", "lora", "ADAPTION_PROMPT", ["LORA"]])
def test_unsupported_method_is_refused_with_the_supported_ones(peft_type: Any, tmp_path: Path) -> None:
    message = r"is a .* adapter, which this server does not support\. Use LORA, IA3, BOTTLENECK"
    with pytest.raises(AdapterInvalid, match=message):
        read_config(adapter_fixtures.write_config(tmp_path, peft_type))


@pytest.mark.parametrize(
    ("peft_type", "key", "value"),
    [
        ("LORA", "use_dora", True),
        ("LORA", "bias", "lora_only"),
        ("LORA", "modules_to_save", ["wte"]),
        ("LORA", "rank_pattern", {"(a+)+b": 4}),
        ("LORA", "layers_pattern", "(h)+"),
        ("LORA", "init_lora_weights", "pissa"),
        ("LORA", "fan_in_fan_out", True),
        ("LORA", "exclude_modules", "(a+)+"),
        ("LORA", "trainable_token_indices", [1]),
        ("LORA", "of_a_later_peft", 3),
        ("LORA", "use_of_a_later_peft", True),
        ("LORA", "nested_of_a_later_peft", {"a": [0, {"b": 1}]}),
        ("LORA", "alpha_pattern", {"c_attn": 8}),
        ("LORA", "lora_bias", True),
        ("IA3", "modules_to_save", ["ln_f"]),
        ("BOTTLENECK", "bias", "all"),
        ("P_TUNING", "modules_to_save", ["x"]),
    ],
)
def test_key_that_would_change_the_computation_is_refused(peft_type: str, key: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid, match=f"sets `{key}` to .*, which this server does not support"):
        read_config(adapter_fixtures.write_config(tmp_path, peft_type, **{key: value}))


@pytest.mark.parametrize(
    ("peft_type", "key", "value", "requirement"),
    [
        ("LORA", "r", 0, "an integer from 1 to 4,096"),
        ("LORA", "r", True, "an integer"),
        ("LORA", "r", 10**9, "an integer"),
        ("LORA", "lora_alpha", float("inf"), "a number up to"),
        ("LORA", "lora_alpha", "16", "a number up to"),
        ("LORA", "use_rslora", 1, "true or false"),
        ("LORA", "target_modules", "(a|a)*$", "a list of module names"),
        ("LORA", "target_modules", "all-linear", "a list of module names"),
        ("LORA", "target_modules", None, "a list of module names"),
        ("LORA", "target_modules", [], "a list of module names"),
        ("LORA", "target_modules", ["a.*"], "a list of module names"),
        ("LORA", "target_modules", ["../x"], "a list of module names"),
        ("LORA", "target_modules", ["x"] * 65, "a list of module names"),
        ("LORA", "layers_to_transform", "0", "a list of layer numbers"),
        ("BOTTLENECK", "bottleneck_size", 1 << 40, "an integer from 1 to 16,384"),
        ("BOTTLENECK", "scaling", float("nan"), "a number up to"),
        ("BOTTLENECK", "scaling", "twice", "a number up to"),
        ("BOTTLENECK", "non_linearity", "eval", "one of tanh"),
        ("BOTTLENECK", "target_modules", None, "a list of module names"),
        ("P_TUNING", "num_virtual_tokens", 0, "an integer from 1 to 4,096"),
        ("PREFIX_TUNING", "num_virtual_tokens", 5000, "an integer"),
        ("PROMPT_TUNING", "num_transformer_submodules", 2, "an integer from 1 to 1"),
    ],
)
def test_invalid_value_is_refused_with_its_requirement(
    peft_type: str, key: str, value: Any, requirement: str, tmp_path: Path
) -> None:
    with pytest.raises(AdapterInvalid, match=f"sets `{key}` to .*, but it must be {requirement}"):
        read_config(adapter_fixtures.write_config(tmp_path, peft_type, **{key: value}))


def test_adapter_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid, match="was trained for the task SEQ_CLS"):
        read_config(adapter_fixtures.write_config(tmp_path, "LORA", task_type="SEQ_CLS"))


def test_config_that_is_not_a_json_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text("[]", encoding="utf-8")
    with pytest.raises(AdapterInvalid, match="does not contain a JSON object"):
        read_config(tmp_path)
