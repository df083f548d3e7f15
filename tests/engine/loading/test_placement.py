from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from starcoder_ls.engine.loading import placement
from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.placement import SMALL_MODEL_VALUES, Placement, choose_placement
from starcoder_ls.errors import OutOfMemory, SettingsError
from starcoder_ls.settings import Model


@pytest.fixture
def checkpoint(starcoder: Path) -> Checkpoint:
    return read_checkpoint(starcoder)


def with_values(checkpoint: Checkpoint, values: int) -> Checkpoint:
    return replace(checkpoint, weights=replace(checkpoint.weights, values=values))


@pytest.mark.parametrize(
    ("has_bf16", "values", "dtype"),
    [
        (True, SMALL_MODEL_VALUES, torch.bfloat16),
        (True, SMALL_MODEL_VALUES - 1, torch.float32),
        (False, SMALL_MODEL_VALUES, torch.float32),
    ],
)
def test_auto_dtype_on_a_cpu_depends_on_bf16_and_size(
    has_bf16: bool, values: int, dtype: torch.dtype, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bf16})
    placement = choose_placement(Model(device="cpu"), with_values(checkpoint, values), lambda: False)
    assert placement.dtype is dtype
    assert not placement.is_packed


@pytest.mark.parametrize(
    ("file_dtype", "dtype"), [("F16", torch.float16), ("BF16", torch.bfloat16), ("F32", torch.float32)]
)
def test_packed_weights_are_read_in_their_stored_dtype(
    file_dtype: str, dtype: torch.dtype, checkpoint: Checkpoint
) -> None:
    packable = replace(checkpoint, weights=replace(checkpoint.weights, dtypes=frozenset({file_dtype})))
    assert choose_placement(Model(device="cpu"), packable, lambda: True) == Placement(
        "cpu", dtype, None, is_packed=True
    )
    assert not choose_placement(Model(device="cpu", dtype="float32"), packable, lambda: True).is_packed
    assert not choose_placement(Model(device="cpu", max_memory={"cpu": "1GiB"}), packable, lambda: True).is_packed


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_dtype_of_the_settings_is_used(name: str, checkpoint: Checkpoint) -> None:
    model = Model.model_validate({"device": "cpu", "dtype": name})
    assert str(choose_placement(model, checkpoint, lambda: False).dtype) == f"torch.{name}"


def test_auto_device_prefers_an_accelerator(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_placement(Model(), checkpoint, lambda: False).device == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_placement(Model(), checkpoint, lambda: False).device == "cpu"


def test_missing_device_raises_a_settings_error(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=r"`model\.device` is cuda, but torch .* finds no such device"):
        choose_placement(Model(device="cuda"), checkpoint, lambda: False)


def test_weights_larger_than_memory_are_refused_before_loading(checkpoint: Checkpoint) -> None:
    values = psutil.virtual_memory().total
    with pytest.raises(OutOfMemory, match=r"need \d+\.\d GiB and cpu has .* free\. Choose a smaller model, or spread"):
        choose_placement(Model(device="cpu"), with_values(checkpoint, values), lambda: False)


def test_memory_limits_are_completed_with_the_free_memory(checkpoint: Checkpoint) -> None:
    limited = choose_placement(Model(device="cpu", max_memory={"disk": "9GiB"}), checkpoint, lambda: False)
    assert limited.max_memory is not None
    assert limited.max_memory["disk"] == "9GiB"
    assert isinstance(limited.max_memory["cpu"], int)


@pytest.mark.parametrize("name", ["7", "gpu", "cuda:0"])
def test_memory_limit_of_an_unknown_device_is_refused(name: str, checkpoint: Checkpoint) -> None:
    with pytest.raises(SettingsError, match=rf"names the device '{name}', which is not here"):
        choose_placement(Model(device="cpu", max_memory={name: "1GiB"}), checkpoint, lambda: False)


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_dtype_on_cuda(supported: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert placement._best_dtype("cuda", 1) is dtype
