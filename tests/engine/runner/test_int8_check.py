from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import checkpoints
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading.safetensors_files import SINGLE_FILE
from starcoder_ls.engine.runner import packed_linear
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.settings import BUNDLED, Model

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"n_embd": 256, "n_head": 4, "n_inner": 1024}
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("eighths") / "base", **sizes)


def loaded_as(folder: Path | str, kind: str) -> LoadedModel:
    settings = Model.model_validate({"name": str(folder), "device": "cpu", "quantization": kind})
    return load(settings, lambda _fraction, _sentence: None)


def test_bundled_model_in_8_bits_takes_two_thirds_of_the_memory() -> None:
    """Half of it is the embedding, which is kept in 16 bits as well."""
    before, after = loaded_as(BUNDLED, "none"), loaded_as(BUNDLED, "int8")
    assert after.ready_status("mine").dtype == "int8"
    assert after.bytes < 0.7 * before.bytes


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
