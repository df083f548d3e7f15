from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from starcoder_ls.engine.loading import placement
from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.placement import SMALL_MODEL_VALUES, Placement, place
from starcoder_ls.errors import OutOfMemory, SettingsError
from starcoder_ls.settings import Model


@pytest.fixture
def checkpoint(starcoder: Path) -> Checkpoint:
    return read_checkpoint(starcoder)


def of_size(checkpoint: Checkpoint, values: int) -> Checkpoint:
    return replace(checkpoint, weights=replace(checkpoint.weights, values=values))


@pytest.mark.parametrize(
    ("has_bf16", "values", "dtype"),
    [
        (True, SMALL_MODEL_VALUES, torch.bfloat16),
        (True, SMALL_MODEL_VALUES - 1, torch.float32),
        (False, SMALL_MODEL_VALUES, torch.float32),
    ],
)
def test_auto_type_on_a_cpu(
    has_bf16: bool, values: int, dtype: torch.dtype, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bf16})
    placement = place(Model(device="cpu"), of_size(checkpoint, values), lambda: False)
    assert placement.dtype is dtype
    assert not placement.is_packed


@pytest.mark.parametrize(("stored", "read"), [("F16", torch.float16), ("BF16", torch.bfloat16), ("F32", torch.float32)])
def test_weights_to_be_packed_are_read_as_they_are_stored(
    stored: str, read: torch.dtype, checkpoint: Checkpoint
) -> None:
    given = replace(checkpoint, weights=replace(checkpoint.weights, dtypes=frozenset({stored})))
    assert place(Model(device="cpu"), given, lambda: True) == Placement("cpu", read, None, is_packed=True)
    assert not place(Model(device="cpu", dtype="float32"), given, lambda: True).is_packed
    assert not place(Model(device="cpu", max_memory={"cpu": "1GiB"}), given, lambda: True).is_packed


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_given_type_is_taken(name: str, checkpoint: Checkpoint) -> None:
    wanted = Model.model_validate({"device": "cpu", "dtype": name})
    assert str(place(wanted, checkpoint, lambda: False).dtype) == f"torch.{name}"


def test_auto_device_prefers_an_accelerator(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert place(Model(), checkpoint, lambda: False).device == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert place(Model(), checkpoint, lambda: False).device == "cpu"


def test_device_that_is_not_there_is_a_settings_error(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=r"`model\.device` is cuda, but torch .* finds no such device"):
        place(Model(device="cuda"), checkpoint, lambda: False)


def test_weights_without_room_are_refused_before_they_load(checkpoint: Checkpoint) -> None:
    values = psutil.virtual_memory().total
    with pytest.raises(OutOfMemory, match=r"need \d+\.\d GiB and cpu has .* free\. Choose a smaller model, or spread"):
        place(Model(device="cpu"), of_size(checkpoint, values), lambda: False)


def test_caps_are_followed_by_what_is_free(checkpoint: Checkpoint) -> None:
    placed = place(Model(device="cpu", max_memory={"disk": "9GiB"}), checkpoint, lambda: False)
    assert placed.max_memory is not None
    assert placed.max_memory["disk"] == "9GiB"
    assert isinstance(placed.max_memory["cpu"], int)


@pytest.mark.parametrize("name", ["7", "gpu", "cuda:0"])
def test_cap_for_an_unknown_device_is_a_settings_error(name: str, checkpoint: Checkpoint) -> None:
    with pytest.raises(SettingsError, match=rf"names the device '{name}', which is not here"):
        place(Model(device="cpu", max_memory={name: "1GiB"}), checkpoint, lambda: False)


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_type_on_cuda(supported: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert placement._best_dtype("cuda", 1) is dtype
