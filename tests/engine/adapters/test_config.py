from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import adapters as made
from starcoder_ls.engine.adapters.config import read
from starcoder_ls.engine.adapters.methods.bottleneck import CONFIG
from starcoder_ls.errors import AdapterInvalid

PLAIN: dict[str, dict[str, Any]] = {
    "LORA": {"r": 8, "lora_alpha": 16, "target_modules": ["c_attn"]},
    "IA3": {"target_modules": ["c_attn", "mlp.c_proj"], "feedforward_modules": ["mlp.c_proj"]},
    "BOTTLENECK": {"bottleneck_size": 256, "target_modules": ["c_attn"], "use_parallel_adapter": True},
    "P_TUNING": {"num_virtual_tokens": 30},
    "PROMPT_TUNING": {"num_virtual_tokens": 30},
    "PREFIX_TUNING": {"num_virtual_tokens": 30},
}


def said(folder: Path, kind: Any, **keys: Any) -> Path:
    folder.mkdir(exist_ok=True)
    given = {"peft_type": kind, **PLAIN.get(str(kind), {}), **keys}
    (folder / CONFIG).write_text(json.dumps(given), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", made.GOLDEN_NAMES)
def test_published_configs_are_read(name: str) -> None:
    declared = read(made.GOLDEN / name)
    assert declared.is_prompt == (name == "ptuning")
    if not declared.is_prompt:
        assert declared.for_peft().inference_mode


@pytest.mark.parametrize("kind", PLAIN)
def test_keys_that_hold_nothing_are_passed_over(kind: str, tmp_path: Path) -> None:
    declared = read(said(tmp_path, kind, of_a_later_peft=None, another=False, more=[], bias="none"))
    assert declared.kind == kind
    assert "of_a_later_peft" not in declared.keys


@pytest.mark.parametrize("kind", [None, 7, "XLORA", "lora", "ADAPTION_PROMPT", ["LORA"]])
def test_other_methods_are_refused_naming_ours(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid, match=r"is a .* adapter, which this server does not run\. Use LORA, IA3, BOTT"):
        read(said(tmp_path, kind))


@pytest.mark.parametrize(
    ("kind", "key", "value"),
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
        ("IA3", "modules_to_save", ["ln_f"]),
        ("BOTTLENECK", "bias", "all"),
        ("P_TUNING", "modules_to_save", ["x"]),
    ],
)
def test_keys_that_would_change_the_outcome_are_refused_by_name(
    kind: str, key: str, value: Any, tmp_path: Path
) -> None:
    with pytest.raises(AdapterInvalid, match=f"sets `{key}` to .*, which this server does not run"):
        read(said(tmp_path, kind, **{key: value}))


@pytest.mark.parametrize(
    ("kind", "key", "value", "must_be"),
    [
        ("LORA", "r", 0, "a whole number of 1 to 4,096"),
        ("LORA", "r", True, "a whole number"),
        ("LORA", "r", 10**9, "a whole number"),
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
        ("BOTTLENECK", "bottleneck_size", 1 << 40, "a whole number of 1 to 16,384"),
        ("BOTTLENECK", "scaling", float("nan"), "a number up to"),
        ("BOTTLENECK", "scaling", "twice", "a number up to"),
        ("BOTTLENECK", "non_linearity", "eval", "one of tanh"),
        ("BOTTLENECK", "target_modules", None, "a list of module names"),
        ("P_TUNING", "num_virtual_tokens", 0, "a whole number of 1 to 4,096"),
        ("PREFIX_TUNING", "num_virtual_tokens", 5000, "a whole number"),
        ("PROMPT_TUNING", "num_transformer_submodules", 2, "a whole number of 1 to 1"),
    ],
)
def test_values_out_of_range_are_refused_saying_the_range(
    kind: str, key: str, value: Any, must_be: str, tmp_path: Path
) -> None:
    with pytest.raises(AdapterInvalid, match=f"sets `{key}` to .*, but it must be {must_be}"):
        read(said(tmp_path, kind, **{key: value}))


def test_feedforward_modules_must_be_targets(tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid, match="not among `target_modules`"):
        read(said(tmp_path, "IA3", feedforward_modules=["c_fc"]))


def test_whole_number_as_scaling_is_a_number(tmp_path: Path) -> None:
    """The fork's isinstance(scaling, float) left such an adapter without any."""
    assert read(said(tmp_path, "BOTTLENECK", scaling=1)).for_peft().scaling == 1.0


def test_adapter_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid, match="was trained for SEQ_CLS"):
        read(said(tmp_path, "LORA", task_type="SEQ_CLS"))


def test_config_that_is_no_json_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text("[]", encoding="utf-8")
    with pytest.raises(AdapterInvalid, match="holds no JSON object"):
        read(tmp_path)
