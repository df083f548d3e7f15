"""Each reason to refuse an adapter, with files that are changed accordingly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import adapter_fixtures
import checkpoints
from starcoder_ls.engine.adapters import fit
from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.engine.adapters.files import PICKLED_WEIGHTS_FILE, WEIGHTS_FILE, check_adapter_folder
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading import checkpoint_sizes
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.learning.finetuning.layer_training import add_parallel
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.settings import Adapter, Model


@pytest.fixture(scope="module")
def loaded(starcoder: Path) -> LoadedModel:
    return load(Model(name=str(starcoder), device="cpu", dtype="float32"), ignore_progress)


@pytest.fixture(scope="module")
def adapters(starcoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return adapter_fixtures.save_adapter_of_each_method(starcoder, tmp_path_factory.mktemp("adapters"))


@pytest.fixture
def copy_adapter(adapters: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    def copy_adapter(method: str) -> Path:
        shutil.copytree(adapters[method], tmp_path / method)
        return tmp_path / method

    return copy_adapter


def refuse(loaded: LoadedModel, folder: Path) -> str:
    before = {name: weight.clone() for name, weight in loaded.runner.model.named_parameters()}
    types = [type(module) for module in loaded.runner.model.modules()]
    with pytest.raises(AdapterInvalid) as caught:
        loaded.adapters.add("own", prepare_adapter(Adapter(path=str(folder)), True, ignore_progress))
    assert all(torch.equal(before[name], weight) for name, weight in loaded.runner.model.named_parameters())
    assert types == [type(module) for module in loaded.runner.model.modules()], "PEFT left a layer in the model"
    assert not list(loaded.adapters)
    return str(caught.value)


def rewrite_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    weights = load_file(folder / WEIGHTS_FILE)
    change(weights)
    save_file(weights, folder / WEIGHTS_FILE, {"format": "pt"})
    return folder


def first_name(weights: dict[str, torch.Tensor]) -> str:
    return min(weights)


@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_valid_adapter_of_each_method_is_accepted(method: str, adapters: dict[str, Path], loaded: LoadedModel) -> None:
    loaded.adapters.add("own", prepare_adapter(Adapter(path=str(adapters[method])), True, ignore_progress))
    loaded.adapters.remove("own")


@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_missing_tensor_is_refused(method: str, copy_adapter: Any, loaded: LoadedModel) -> None:
    def remove_first(weights: dict[str, torch.Tensor]) -> None:
        del weights[first_name(weights)]

    folder = rewrite_weights(copy_adapter(method), remove_first)
    assert "1 tensors are missing and 0 are unexpected" in refuse(loaded, folder)


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
@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_tensor_of_the_base_is_refused(method: str, key: str, copy_adapter: Any, loaded: LoadedModel) -> None:
    folder = rewrite_weights(copy_adapter(method), lambda weights: weights.update({key: torch.zeros(3)}))
    assert f"contains {key}, which is not a tensor of a" in refuse(loaded, folder)


def test_tensor_of_a_layer_that_the_base_lacks_is_refused(copy_adapter: Any, loaded: LoadedModel) -> None:
    key = "base_model.model.transformer.h.2.attn.c_attn.lora_A.weight"
    folder = rewrite_weights(copy_adapter("lora"), lambda weights: weights.update({key: torch.zeros(4, 48)}))
    assert f"0 tensors are missing and 1 are unexpected, such as {key}" in refuse(loaded, folder)


@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_wrong_shape_is_refused(method: str, copy_adapter: Any, loaded: LoadedModel) -> None:
    folder = rewrite_weights(
        copy_adapter(method), lambda weights: weights.update({first_name(weights): torch.zeros(3, 3)})
    )
    assert "has the shape (3, 3) and must have" in refuse(loaded, folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_non_finite_value_is_refused(method: str, value: float, copy_adapter: Any, loaded: LoadedModel) -> None:
    def set_first_value(weights: dict[str, torch.Tensor]) -> None:
        weights[first_name(weights)].view(-1)[0] = value

    assert "which is not finite" in refuse(loaded, rewrite_weights(copy_adapter(method), set_first_value))


def test_truncated_file_is_refused(copy_adapter: Any, loaded: LoadedModel) -> None:
    folder = copy_adapter("lora")
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-10])
    assert "is damaged" in refuse(loaded, folder)


@pytest.mark.parametrize("method", ["lora", "ia3", "parallel", "adapterh", "ptuning", "prefix"])
def test_adapter_of_another_width_is_refused_with_both_bases(method: str, loaded: LoadedModel, tmp_path: Path) -> None:
    other = checkpoints.gpt_bigcode(tmp_path / "wide", n_embd=64, n_inner=128)
    folder = adapter_fixtures.save_random_adapter(
        other, tmp_path / "adapter", adapter_fixtures.create_peft_config(method)
    )
    message = refuse(loaded, folder)
    assert f"trained for {other}, does not fit" in message
    assert "(2 layers, width 48)" in message


def test_adapter_of_a_deeper_base_is_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    other = checkpoints.gpt_bigcode(tmp_path / "deep", n_layer=3)
    folder = adapter_fixtures.save_random_adapter(
        other, tmp_path / "adapter", adapter_fixtures.create_peft_config("parallel")
    )
    assert "0 tensors are missing and 2 are unexpected" in refuse(loaded, folder)


def test_bottleneck_on_an_unsupported_target_is_refused(copy_adapter: Any, loaded: LoadedModel) -> None:
    folder = copy_adapter("adapterp")
    adapter_fixtures.edit_config(folder, target_modules=["c_attn"])
    assert "cannot adapt c_attn" in refuse(loaded, folder)


def test_target_that_is_not_in_the_model_is_refused(copy_adapter: Any, loaded: LoadedModel) -> None:
    folder = copy_adapter("lora")
    adapter_fixtures.edit_config(folder, target_modules=["q_proj"])
    assert "q_proj" in refuse(loaded, folder)


@pytest.mark.parametrize("target", ["wte", "lm_head", "ln_1"])
def test_target_outside_the_blocks_linear_layers_is_refused(
    target: str, copy_adapter: Any, loaded: LoadedModel
) -> None:
    folder = copy_adapter("lora")
    adapter_fixtures.edit_config(folder, target_modules=["c_attn", target])
    assert "does not fit" in refuse(loaded, folder)


def train_own_adapter(starcoder: Path, folder: Path, base_fingerprint: str) -> Path:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(starcoder)
    folder.mkdir()
    add_parallel(model, checkpoint_sizes.BIGCODE, 8).save(folder, BaseIdentity("starcoder", base_fingerprint))
    return folder


def test_own_adapter_is_refused_on_another_base_of_the_same_shape(
    starcoder: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    """Only the fingerprint differs."""
    right = compute_fingerprint(read_checkpoint(starcoder))
    folder = train_own_adapter(starcoder, tmp_path / "own", right)
    loaded.adapters.add("own", prepare_adapter(Adapter(path=str(folder)), True, ignore_progress))
    loaded.adapters.remove("own")
    other = checkpoints.gpt_bigcode(tmp_path / "other", seed=7)
    wrong = compute_fingerprint(read_checkpoint(other))
    assert wrong != right
    message = refuse(loaded, train_own_adapter(starcoder, tmp_path / "wrong", wrong))
    assert f"was trained on starcoder with the fingerprint {wrong}" in message
    assert f"has {right}" in message


def test_adapter_that_names_another_base_is_refused_unless_allowed(
    copy_adapter: Any, starcoder: Path, loaded: LoadedModel
) -> None:
    folder = copy_adapter("lora")
    adapter_fixtures.edit_config(folder, base_model_name_or_path="bigcode/starcoderbase-7b")
    message = refuse(loaded, folder)
    assert f"was made for bigcode/starcoderbase-7b, and the model here is {starcoder}" in message
    assert "set `allow_other_base` to true in its `[adapters.NAME]`" in message
    allowed = Adapter(path=str(folder), allow_other_base=True)
    loaded.adapters.add("own", prepare_adapter(allowed, True, ignore_progress))
    loaded.adapters.remove("own")


def test_adapter_that_names_an_unknown_base_is_accepted_with_a_warning(
    copy_adapter: Any, starcoder: Path, loaded: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_adapter("lora")
    adapter_fixtures.edit_config(folder, base_model_name_or_path="/old/runs/checkpoint-500")
    with caplog.at_level("WARNING"):
        loaded.adapters.add("own", prepare_adapter(Adapter(path=str(folder)), True, ignore_progress))
    loaded.adapters.remove("own")
    assert f"names /old/runs/checkpoint-500 as its base; the model here is {starcoder}" in caplog.text


def test_method_that_does_not_run_on_the_base_is_refused(copy_adapter: Any) -> None:
    files = check_adapter_folder(copy_adapter("ia3"))
    with pytest.raises(AdapterInvalid, match=r"needs float32 activations, and `model\.dtype` is bfloat16"):
        fit.require_base_supported(files, "int8", torch.bfloat16)
    fit.require_base_supported(files, "int8", torch.float32)


def test_damaged_pickle_is_refused(copy_adapter: Any, loaded: LoadedModel) -> None:
    folder = copy_adapter("lora")
    (folder / WEIGHTS_FILE).unlink()
    (folder / PICKLED_WEIGHTS_FILE).write_bytes(b"no pickle")
    assert "is damaged" in refuse(loaded, folder)


def test_adapter_without_files_is_refused(copy_adapter: Any, loaded: LoadedModel) -> None:
    folder = copy_adapter("lora")
    (folder / WEIGHTS_FILE).unlink()
    assert f"has neither {WEIGHTS_FILE} nor {PICKLED_WEIGHTS_FILE}" in refuse(loaded, folder)
    (folder / CONFIG_FILE).unlink()
    assert f"has no {CONFIG_FILE}" in refuse(loaded, folder)
