from __future__ import annotations

from pathlib import Path

import pytest
import torch

from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning import training_base
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.row_loss import training_loss
from training_fixtures import load_base, rows_of


@pytest.mark.parametrize(
    ("device", "quantization", "is_full", "message"),
    [
        ("cpu", "nf4", False, "nf4 trains on CUDA only"),
        ("cpu", "int8", False, "in nf4 or none"),
        ("tpu", "none", False, "no such device"),
    ],
)
def test_impossible_devices_are_refused_with_a_way_out(
    device: str, quantization: str, is_full: bool, message: str, starcoder: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        training_base.choose_device(device, quantization, is_full, read_checkpoint(starcoder))


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto is cuda")
def test_small_models_on_a_cpu_stay_in_float32(starcoder: Path) -> None:
    checkpoint = read_checkpoint(starcoder)
    device = training_base.choose_device("auto", "none", False, checkpoint)
    assert (device.name, device.dtype) == ("cpu", torch.float32)
    assert device.free_bytes > 1 << 20
    assert training_base.with_dtype(device, "bfloat16").dtype == torch.bfloat16
    assert training_base.with_dtype(device, "auto") == device
    with pytest.raises(SettingsError, match="float32 or bfloat16"):
        training_base.with_dtype(device, "float16")


@pytest.mark.parametrize("name", ["starcoder", "llama"])
def test_gradient_checkpointing_changes_no_gradient(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    gradients = []
    for is_checkpointed in (False, True):
        model, checkpoint, tokenizer = load_base(folder)
        trainable = build_trainable("lora", model, checkpoint, 4, torch.float32)
        if is_checkpointed:
            training_base.use_gradient_checkpointing(model)
        training_loss(trainable, rows_of(checkpoint, tokenizer).batch(0))[0].backward()  # type: ignore[no-untyped-call]
        gradients.append([weight.grad for weight in trainable.named_weights().values()])
    assert any(gradient.abs().sum() > 0 for gradient in gradients[0])
    for first, second in zip(*gradients, strict=True):
        assert torch.allclose(first, second, rtol=1e-3, atol=1e-5)


def test_base_is_loaded_frozen_in_the_type_of_the_device(qwen2: Path) -> None:
    checkpoint = read_checkpoint(qwen2)
    device = training_base.TrainingDevice("cpu", torch.bfloat16)
    model = training_base.load_base(checkpoint, device, ignore_progress)
    assert all(weight.dtype == torch.bfloat16 and not weight.requires_grad for weight in model.parameters())
    assert training_base.identify(checkpoint, "q").fingerprint
    assert training_base.file_type(checkpoint) == torch.float32
