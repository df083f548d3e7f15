from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from starcoder_ls.engine.loading import placement
from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.checkpoint_sizes import ModelSizes
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


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A CUDA device without bfloat16; ``free`` is its free memory in bytes."""
    memory = {"free": 1 << 40}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: False)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (memory["free"], 1 << 40))
    return memory


def test_auto_device_prefers_an_accelerator(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    large = with_values(checkpoint, SMALL_MODEL_VALUES)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: True)
    assert choose_placement(Model(), large, lambda: False).device == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_placement(Model(), large, lambda: False).device == "cpu"


def test_auto_device_of_a_small_model_is_the_cpu(checkpoint: Checkpoint, cuda: dict[str, int]) -> None:
    del cuda
    small = with_values(checkpoint, SMALL_MODEL_VALUES - 1)
    assert choose_placement(Model(), small, lambda: True).device == "cpu"
    assert choose_placement(Model(device="cuda"), small, lambda: True).device == "cuda"
    assert choose_placement(Model(), with_values(checkpoint, SMALL_MODEL_VALUES), lambda: True).device == "cuda"


def test_float16_is_a_choice_with_a_fallback_on_cards_without_bfloat16(
    checkpoint: Checkpoint, cuda: dict[str, int]
) -> None:
    chosen = choose_placement(Model(device="cuda"), checkpoint, lambda: False)
    assert (chosen.dtype, chosen.fallback_dtype) == (torch.float16, torch.float32)
    fallback = placement.use_fallback_dtype(chosen, checkpoint)
    assert (fallback.dtype, fallback.fallback_dtype) == (torch.float32, None)
    assert choose_placement(Model(device="cuda", dtype="float16"), checkpoint, lambda: False).fallback_dtype is None
    cuda["free"] = placement.working_bytes("cuda", checkpoint, torch.float32) + 2 * checkpoint.weights.values
    with pytest.raises(OutOfMemory):
        placement.use_fallback_dtype(chosen, checkpoint)


@pytest.mark.parametrize(("is_new", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_dtype_on_mps_has_16_bits(is_new: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: is_new)
    assert placement._best_dtype("mps", 1) is dtype


def test_memory_check_counts_cache_logits_and_workspace(checkpoint: Checkpoint, cuda: dict[str, int]) -> None:
    """At the sizes of StarCoderBase-7B, in 16 bits: 0.18 GB of cache, 0.03 of logits, 0.2 of activations, and 0.27."""
    sizes = ModelSizes(42, 4096, 32, 1, 128, 16384, 8192, 49_152)
    large = replace(with_values(checkpoint, 7_000_000_000), sizes=sizes)
    others = placement.working_bytes("cuda", large, torch.float16)
    assert 0.6e9 < others < 0.8e9
    assert placement.working_bytes("cpu", large, torch.float16) == 0
    cuda["free"] = 14_000_000_000 + others
    assert choose_placement(Model(device="cuda"), large, lambda: False).device == "cuda"
    cuda["free"] -= 1
    with pytest.raises(OutOfMemory, match=r"need 13\.0 GiB, their cache and workspace 0\.\d GiB, .* torchao-int4"):
        choose_placement(Model(device="cuda"), large, lambda: False)


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


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_dtype_on_cuda(supported: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert placement._best_dtype("cuda", 1) is dtype
