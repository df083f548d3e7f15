from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import checkpoints
import manual_decoding
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.safetensors_files import SINGLE_FILE
from starcoder_ls.engine.runner import packed_linear
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.settings import BUNDLED, Model

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"n_embd": 256, "n_head": 4, "n_inner": 1024}
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("rounded") / "base", **sizes)


def loaded_as(folder: Path | str, kind: str) -> LoadedModel:
    settings = Model.model_validate({"name": str(folder), "device": "cpu", "quantization": kind})
    return load(settings, lambda _fraction, _sentence: None)


def test_bundled_model_in_8_bits_takes_two_thirds_of_the_memory() -> None:
    """Half of it is the embedding, which is kept in 16 bits as well."""
    before, after = loaded_as(BUNDLED, "none"), loaded_as(BUNDLED, "int8")
    assert after.ready_status("mine").dtype == "int8"
    assert after.bytes < 0.7 * before.bytes


def test_model_that_loses_too_much_in_4_bits_gets_8_and_says_so(base: Path) -> None:
    """Random weights have nothing to spare. No library is needed: torchao is not asked."""
    loaded = loaded_as(base, "torchao-int4")
    status = loaded.ready_status("mine")
    assert status.dtype == "int8"
    assert re.fullmatch(
        r"`model.quantization` is torchao-int4, but this model would lose [\d.]+ nats a token in 4 bits, so it has 8\.",
        status.message,
    )
    formats = {layer.weight_format for layer in packed_linear.layers_of(loaded.runner.model)}
    assert formats == {packed_linear.WeightFormat.INT8}
    prompt = [list(range(20, 60))]
    expected, found = (
        manual_decoding.forward(model.runner, prompt, KvCache(model.runner.layers, 64))
        for model in (loaded_as(base, "int8"), loaded)
    )
    assert torch.equal(found, expected)


def test_model_that_4_bits_represent_well_takes_the_estimated_memory(tmp_path: Path) -> None:
    """Its output layer has 8 bits."""
    folder = checkpoints.gpt_bigcode(tmp_path / "base", n_embd=256, n_head=4, n_inner=1024, weight_std=0.01)
    loaded = loaded_as(folder, "torchao-int4")
    status = loaded.ready_status("mine")
    assert (status.dtype, status.message) == ("torchao-int4", "")
    output = loaded.runner.model.get_output_embeddings()
    for layer in packed_linear.layers_of(loaded.runner.model):
        is_output = layer is output
        assert layer.weight_format is (
            packed_linear.WeightFormat.INT8 if is_output else packed_linear.WeightFormat.INT4
        )
    estimate = quantization.estimate_bytes(
        "torchao-int4", read_checkpoint(folder), loaded.placement.dtype, loaded.placement.device
    )
    assert estimate == pytest.approx(loaded.runner.weight_bytes, rel=0.04)
    assert loaded.runner.pass_costs


def test_weights_that_8_bits_represent_badly_are_refused(base: Path, tmp_path: Path) -> None:
    """A few weights are so large that their neighbours, which share their scales, are rounded to 0."""
    folder = checkpoints.copy_checkpoint(base, tmp_path / "copy")
    tensors = load_file(folder / SINGLE_FILE)
    for name, weight in tensors.items():
        if name.endswith(("c_fc.weight", "c_attn.weight")):
            weight[:, ::64] *= 30
            norm = name.replace("mlp.c_fc", "ln_2").replace("attn.c_attn", "ln_1").removesuffix("weight")
            tensors[f"{norm}weight"][::64] /= 30
            tensors[f"{norm}bias"][::64] /= 30
    save_file(tensors, folder / SINGLE_FILE, {"format": "pt"})
    with pytest.raises(ModelInvalid, match=r"loses [\d.]+ nats a token in 8 bits.*`model.quantization` to none"):
        loaded_as(folder, "int8")
    assert loaded_as(folder, "none").ready_status("mine").dtype == "float16"
