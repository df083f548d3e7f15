"""Every adapter that is refused, as a made file."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

import adapters as made
import checkpoints
from starcoder_ls.engine.adapters import fingerprint, fit
from starcoder_ls.engine.adapters.files import PICKLED, inspect
from starcoder_ls.engine.adapters.methods import bottleneck
from starcoder_ls.engine.adapters.methods.bottleneck import CONFIG, WEIGHTS
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters, prepare
from starcoder_ls.engine.loading.checkpoint import inspect as inspect_base
from starcoder_ls.engine.loading.load_model import Loaded, load
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.settings import Adapter, Model


def nothing(_fraction: float, _sentence: str) -> None:
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def loaded(starcoder: Path) -> Loaded:
    return load(Model(name=str(starcoder), device="cpu", dtype="float32"), nothing)


@pytest.fixture(scope="module")
def sound(starcoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made.of_every_method(starcoder, tmp_path_factory.mktemp("adapters"))


@pytest.fixture
def copy(sound: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copied(method: str) -> Path:
        shutil.copytree(sound[method], tmp_path / method)
        return tmp_path / method

    return copied


def refusal(loaded: Loaded, folder: Path) -> str:
    before = {name: weight.clone() for name, weight in loaded.model.named_parameters()}
    kinds = [type(module) for module in loaded.model.modules()]
    with pytest.raises(AdapterInvalid) as caught:
        loaded.adapters.add("own", prepare(Adapter(path=str(folder)), True, nothing))
    assert all(torch.equal(before[name], weight) for name, weight in loaded.model.named_parameters())
    assert kinds == [type(module) for module in loaded.model.modules()], "nothing is left in the model"
    assert not list(loaded.adapters)
    return str(caught.value)


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    return folder


def first(weights: dict[str, torch.Tensor]) -> str:
    return min(weights)


@pytest.mark.parametrize("method", made.METHODS)
def test_sound_adapter_of_every_method_fits(method: str, sound: dict[str, Path], loaded: Loaded) -> None:
    loaded.adapters.add("own", prepare(Adapter(path=str(sound[method])), True, nothing))
    loaded.adapters.remove("own")


@pytest.mark.parametrize("method", made.METHODS)
def test_missing_tensor_is_refused(method: str, copy: Any, loaded: Loaded) -> None:
    def lose(weights: dict[str, torch.Tensor]) -> None:
        del weights[first(weights)]

    folder = rewritten(copy(method), lose)
    assert "1 tensors are missing and 0 are too many" in refusal(loaded, folder)


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.transformer.wte.weight",
        "base_model.model.transformer.ln_f.weight",
        "base_model.model.transformer.h.0.attn.c_attn.base_layer.weight",
        "base_model.model.transformer.h.0.attn.c_attn.weight",
        "transformer.h.0.attn.c_attn.lora_A.weight",
        "base_model.model.lm_head.weight",
    ],
)
@pytest.mark.parametrize("method", made.METHODS)
def test_tensor_that_could_overwrite_the_base_is_refused(method: str, key: str, copy: Any, loaded: Loaded) -> None:
    folder = rewritten(copy(method), lambda weights: weights.update({key: torch.zeros(3)}))
    assert f"holds {key}, which is no weight of a" in refusal(loaded, folder)


def test_tensor_of_a_layer_too_many_is_refused(copy: Any, loaded: Loaded) -> None:
    key = "base_model.model.transformer.h.2.attn.c_attn.lora_A.weight"
    folder = rewritten(copy("lora"), lambda weights: weights.update({key: torch.zeros(4, 48)}))
    assert f"0 tensors are missing and 1 are too many, such as {key}" in refusal(loaded, folder)


@pytest.mark.parametrize("method", made.METHODS)
def test_wrong_shape_is_refused(method: str, copy: Any, loaded: Loaded) -> None:
    folder = rewritten(copy(method), lambda weights: weights.update({first(weights): torch.zeros(3, 3)}))
    assert "is (3, 3) and must be" in refusal(loaded, folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("method", made.METHODS)
def test_value_that_is_not_finite_is_refused(method: str, value: float, copy: Any, loaded: Loaded) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights[first(weights)].view(-1)[0] = value

    assert "which is not finite" in refusal(loaded, rewritten(copy(method), spoil))


def test_truncated_file_is_refused(copy: Any, loaded: Loaded) -> None:
    folder = copy("lora")
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-10])
    assert "is damaged" in refusal(loaded, folder)


@pytest.mark.parametrize("method", ["lora", "ia3", "parallel", "adapterh", "ptuning", "prefix"])
def test_adapter_of_another_width_is_refused_naming_both(method: str, loaded: Loaded, tmp_path: Path) -> None:
    other = checkpoints.gpt_bigcode(tmp_path / "wide", n_embd=64, n_inner=128)
    folder = made.trained(other, tmp_path / "adapter", made.config_of(method))
    said = refusal(loaded, folder)
    assert f"trained for {other}, does not fit" in said
    assert "(2 layers, width 48)" in said


def test_adapter_of_a_deeper_base_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    other = checkpoints.gpt_bigcode(tmp_path / "deep", n_layer=3)
    folder = made.trained(other, tmp_path / "adapter", made.config_of("parallel"))
    assert "0 tensors are missing and 2 are too many" in refusal(loaded, folder)


def test_bottleneck_with_no_place_is_refused(copy: Any, loaded: Loaded) -> None:
    folder = copy("adapterp")
    made.edited_config(folder, target_modules=["c_attn"])
    assert "has no place at c_attn" in refusal(loaded, folder)


def test_target_that_is_not_in_the_model_is_refused(copy: Any, loaded: Loaded) -> None:
    folder = copy("lora")
    made.edited_config(folder, target_modules=["q_proj"])
    assert "q_proj" in refusal(loaded, folder)


@pytest.mark.parametrize("target", ["wte", "lm_head", "ln_1"])
def test_target_outside_the_blocks_linear_layers_is_refused(target: str, copy: Any, loaded: Loaded) -> None:
    folder = copy("lora")
    made.edited_config(folder, target_modules=["c_attn", target])
    assert "does not fit" in refusal(loaded, folder)


def own(starcoder: Path, folder: Path, base_fingerprint: str) -> Path:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(starcoder)
    config = bottleneck.parallel(8, ["c_attn"])
    bottleneck.add_trainable(model, config)
    bottleneck.save(model, config, folder, "starcoder", base_fingerprint)
    return folder


def test_our_own_adapter_is_refused_on_another_base_of_the_same_shape(
    starcoder: Path, loaded: Loaded, tmp_path: Path
) -> None:
    """Nothing but contents tells the two bases apart."""
    right = fingerprint.of(inspect_base(starcoder))
    folder = own(starcoder, tmp_path / "own", right)
    loaded.adapters.add("own", prepare(Adapter(path=str(folder)), True, nothing))
    loaded.adapters.remove("own")
    other = checkpoints.gpt_bigcode(tmp_path / "other", seed=7)
    wrong = fingerprint.of(inspect_base(other))
    assert wrong != right
    said = refusal(loaded, own(starcoder, tmp_path / "wrong", wrong))
    assert f"was trained on starcoder with the fingerprint {wrong}" in said
    assert f"has {right}" in said


def test_foreign_adapter_that_names_another_base_is_doubted_aloud(
    copy: Any, starcoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy("lora")
    made.edited_config(folder, base_model_name_or_path="bigcode/starcoderbase-7b")
    files = inspect(folder)
    assert fit.name_doubt(files, "bigcode/starcoderbase-7b") == ""
    assert fit.name_doubt(files, "/models/StarCoderBase-7b/") == ""
    base = load(Model(name=str(starcoder), device="cpu", dtype="float32"), nothing)
    with caplog.at_level("WARNING"):
        base.adapters.add("own", prepare(Adapter(path=str(folder)), True, nothing))
    assert f"names bigcode/starcoderbase-7b as its base; the model here is {starcoder}" in caplog.text


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_ia3_over_bitsandbytes_needs_float32(quantization: str, copy: Any, loaded: Loaded) -> None:
    files = inspect(copy("ia3"))
    with pytest.raises(AdapterInvalid, match=r"needs float32 activations, and `model\.dtype` is bfloat16"):
        fit.require_combination(files, quantization, torch.bfloat16)
    fit.require_combination(files, quantization, torch.float32)
    assert isinstance(loaded.adapters, ResidentAdapters)


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_pickle_with_code_in_it_is_refused_and_not_run(copy: Any, loaded: Loaded, tmp_path: Path) -> None:
    folder = copy("lora")
    (folder / WEIGHTS).unlink()
    torch.save({"x": _Evil(tmp_path / "ran")}, folder / PICKLED)
    assert "would run code" in refusal(loaded, folder)
    assert not (tmp_path / "ran").exists()


def test_pickle_that_is_no_flat_dictionary_is_refused(copy: Any, loaded: Loaded) -> None:
    folder = copy("lora")
    (folder / WEIGHTS).unlink()
    torch.save({"nested": {"x": torch.zeros(1)}}, folder / PICKLED)
    assert "holds more than named tensors" in refusal(loaded, folder)
    for content in (b"no pickle", pickle.dumps({"x": [1]}, protocol=4)):
        (folder / PICKLED).write_bytes(content)
        assert "is damaged" in refusal(loaded, folder)


def test_adapter_without_files_is_refused(copy: Any, loaded: Loaded) -> None:
    folder = copy("lora")
    (folder / WEIGHTS).unlink()
    assert f"has no {WEIGHTS} and no {PICKLED}" in refusal(loaded, folder)
    (folder / CONFIG).unlink()
    assert f"has no {CONFIG}" in refusal(loaded, folder)


def test_rank_stabilized_lora_is_scaled_by_the_root(starcoder: Path, tmp_path: Path, loaded: Loaded) -> None:
    config = LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["c_attn"], task_type="CAUSAL_LM")
    folder = made.trained(starcoder, tmp_path / "rs", config)
    held = loaded.adapters.add("own", prepare(Adapter(path=str(folder)), True, nothing))
    assert held.sites[0].adapted.scaling == {"resident": 4.0}
    loaded.adapters.remove("own")
