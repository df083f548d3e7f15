from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.engine.adapters.merge import merge
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import AdapterInvalid, SettingsError
from starcoder_ls.settings import Adapter, Model

IDS = list(range(20, 45))

# Logits of spread 15 here. A weight of the merge is rounded to float32 once, which is 6e-8 of it.
FP32_TOLERANCE = 2e-4


def load_base(folder: Path, dtype: str = "float32") -> LoadedModel:
    return load(Model(name=str(folder), device="cpu", dtype=dtype), ignore_progress)  # type: ignore[arg-type]


def logits(loaded: LoadedModel, adapter: ResidentAdapter | None = None) -> torch.Tensor:
    return manual_decoding.forward(loaded.runner, [IDS], KvCache(loaded.runner.layers, 32), adapter)[0]


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_merged_checkpoint_gives_the_logits_of_the_adapter(method: str, starcoder: Path, tmp_path: Path) -> None:
    folder = adapter_fixtures.save_random_adapter(
        starcoder, tmp_path / "adapter", adapter_fixtures.create_peft_config(method)
    )
    unmerged = load_base(starcoder)
    base_logits = logits(unmerged)
    adapter = unmerged.adapters.add("own", prepare_adapter(Adapter(path=str(folder)), True, ignore_progress))
    merge(Model(name=str(starcoder)), [Adapter(path=str(folder))], tmp_path / "out", ignore_progress)
    merged = logits(load_base(tmp_path / "out"))
    assert (merged - logits(unmerged, adapter)).abs().max() <= FP32_TOLERANCE
    assert (merged - base_logits).abs().max() > 1
    assert {path.name for path in tmp_path.iterdir()} == {"adapter", "out"}, "a temporary folder is left"


def test_merged_checkpoint_keeps_the_chat_template(starcoder: Path, tmp_path: Path) -> None:
    base = shutil.copytree(starcoder, tmp_path / "base")
    (base / "chat_template.jinja").write_text("{{ messages }}")
    config = adapter_fixtures.create_peft_config("lora")
    adapter = Adapter(path=str(adapter_fixtures.save_random_adapter(starcoder, tmp_path / "adapter", config)))
    merge(Model(name=str(base)), [adapter], tmp_path / "out", ignore_progress)
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "{{ messages }}"


def test_several_adapters_are_merged_one_after_the_other(starcoder: Path, tmp_path: Path) -> None:
    """The second was trained on the base with the first in it, and is applied to that."""
    folders = [
        adapter_fixtures.save_random_adapter(starcoder, tmp_path / "a", adapter_fixtures.create_peft_config("lora"), 1)
    ]
    folders.append(
        adapter_fixtures.save_random_adapter(starcoder, tmp_path / "b", adapter_fixtures.create_peft_config("ia3"), 2)
    )
    together, stepwise = tmp_path / "together", tmp_path / "stepwise"
    merge(Model(name=str(starcoder)), [Adapter(path=str(folder)) for folder in folders], together, ignore_progress)
    merge(Model(name=str(starcoder)), [Adapter(path=str(folders[0]))], stepwise / "1", ignore_progress)
    merge(
        Model(name=str(stepwise / "1")),
        [Adapter(path=str(folders[1]), allow_other_base=True)],
        stepwise / "2",
        ignore_progress,
    )
    assert torch.equal(logits(load_base(together)), logits(load_base(stepwise / "2")))


def test_merged_checkpoint_has_the_dtype_of_its_base(starcoder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(starcoder, dtype=torch.bfloat16).save_pretrained(half)
    (half / "tokenizer.json").write_text(checkpoints.byte_level_tokenizer(), encoding="utf-8")
    folder = adapter_fixtures.save_random_adapter(
        starcoder, tmp_path / "adapter", adapter_fixtures.create_peft_config("lora")
    )
    merge(Model(name=str(half)), [Adapter(path=str(folder))], tmp_path / "out", ignore_progress)
    assert load_base(tmp_path / "out").checkpoint.weights.dtypes == {"BF16"}


@pytest.mark.parametrize("method", ["parallel", "adapterh", "adapterp", "ptuning", "prompt", "prefix"])
def test_method_that_cannot_be_merged_exactly_is_refused(method: str, starcoder: Path, tmp_path: Path) -> None:
    folder = adapter_fixtures.save_random_adapter(
        starcoder, tmp_path / "adapter", adapter_fixtures.create_peft_config(method)
    )
    with pytest.raises(AdapterInvalid, match=r"cannot be merged: it (is not linear|puts virtual tokens)"):
        merge(Model(name=str(starcoder)), [Adapter(path=str(folder))], tmp_path / "out", ignore_progress)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("quantization", ["int8", "nf4", "torchao-int8", "torchao-int4"])
def test_quantized_base_is_refused(quantization: str, starcoder: Path, tmp_path: Path) -> None:
    model = Model(name=str(starcoder), quantization=quantization)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=f"into weights quantized to {quantization}"):
        merge(model, [], tmp_path / "out", ignore_progress)


def test_output_folder_that_cannot_be_created_is_named(starcoder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/out cannot be written: .*Name another folder"):
        merge(Model(name=str(starcoder)), [], tmp_path / "file" / "out", ignore_progress)


def test_output_folder_that_is_not_empty_is_refused(starcoder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(SettingsError, match="not an empty folder"):
        merge(Model(name=str(starcoder)), [], tmp_path, ignore_progress)
