from __future__ import annotations

from pathlib import Path

import pytest
import torch

import adapters as made
import checkpoints
from starcoder_ls.engine.adapters.merge import merge
from starcoder_ls.engine.adapters.resident_adapters import prepare
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.load_model import Loaded, load
from starcoder_ls.engine.runner.model_forward import forward
from starcoder_ls.errors import AdapterInvalid, SettingsError
from starcoder_ls.settings import Adapter, Model

IDS = list(range(20, 45))

# Logits of spread 15 here. A weight of the merge is rounded to float32 once, which is 6e-8 of it.
FP32_TOLERANCE = 2e-4


def nothing(_fraction: float, _sentence: str) -> None:
    """A report that nobody reads."""


def loaded(folder: Path, dtype: str = "float32") -> Loaded:
    return load(Model(name=str(folder), device="cpu", dtype=dtype), nothing)  # type: ignore[arg-type]


def logits(model: Loaded) -> torch.Tensor:
    return forward(model.model, [IDS], KvCache(model.layers, 32))[0]


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_merged_weights_answer_as_the_adapter_does(method: str, starcoder: Path, tmp_path: Path) -> None:
    folder = made.trained(starcoder, tmp_path / "adapter", made.config_of(method))
    unmerged = loaded(starcoder)
    base = logits(unmerged)
    unmerged.adapters.activate(unmerged.adapters.add("own", prepare(Adapter(path=str(folder)), True, nothing)))
    merge(Model(name=str(starcoder)), [Adapter(path=str(folder))], tmp_path / "out", nothing)
    merged = logits(loaded(tmp_path / "out"))
    assert (merged - logits(unmerged)).abs().max() <= FP32_TOLERANCE
    assert (merged - base).abs().max() > 1
    assert {path.name for path in tmp_path.iterdir()} == {"adapter", "out"}, "nothing unfinished is left"


def test_several_are_merged_in_sequence(starcoder: Path, tmp_path: Path) -> None:
    """The second was trained on the base with the first in it, and is applied to that."""
    folders = [made.trained(starcoder, tmp_path / "a", made.config_of("lora"), 1)]
    folders.append(made.trained(starcoder, tmp_path / "b", made.config_of("ia3"), 2))
    at_once, then = tmp_path / "once", tmp_path / "then"
    merge(Model(name=str(starcoder)), [Adapter(path=str(folder)) for folder in folders], at_once, nothing)
    merge(Model(name=str(starcoder)), [Adapter(path=str(folders[0]))], then / "1", nothing)
    merge(Model(name=str(then / "1")), [Adapter(path=str(folders[1]))], then / "2", nothing)
    assert torch.equal(logits(loaded(at_once)), logits(loaded(then / "2")))


def test_merged_checkpoint_keeps_the_type_of_its_base(starcoder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(starcoder, dtype=torch.bfloat16).save_pretrained(half)
    (half / "tokenizer.json").write_text(checkpoints.byte_level_tokenizer(), encoding="utf-8")
    folder = made.trained(starcoder, tmp_path / "adapter", made.config_of("lora"))
    merge(Model(name=str(half)), [Adapter(path=str(folder))], tmp_path / "out", nothing)
    assert loaded(tmp_path / "out").checkpoint.weights.dtypes == {"BF16"}


@pytest.mark.parametrize("method", ["parallel", "adapterh", "adapterp", "ptuning", "prompt", "prefix"])
def test_what_cannot_be_exact_is_refused(method: str, starcoder: Path, tmp_path: Path) -> None:
    folder = made.trained(starcoder, tmp_path / "adapter", made.config_of(method))
    with pytest.raises(AdapterInvalid, match=r"cannot be merged: it (is not linear|puts virtual tokens)"):
        merge(Model(name=str(starcoder)), [Adapter(path=str(folder))], tmp_path / "out", nothing)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("quantization", ["int8", "nf4", "torchao-int8", "torchao-int4"])
def test_quantized_base_is_refused(quantization: str, starcoder: Path, tmp_path: Path) -> None:
    wanted = Model(name=str(starcoder), quantization=quantization)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=f"quantized to {quantization}"):
        merge(wanted, [], tmp_path / "out", nothing)


def test_a_place_that_cannot_be_written_is_named(starcoder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/out cannot be written: .*Name another folder"):
        merge(Model(name=str(starcoder)), [], tmp_path / "file" / "out", nothing)


def test_folder_that_holds_something_is_left_alone(starcoder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(SettingsError, match="not empty"):
        merge(Model(name=str(starcoder)), [], tmp_path, nothing)
