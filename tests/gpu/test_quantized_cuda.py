"""Quantized base models on a CUDA device, with the checks of tests/engine/loading/test_quantization.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.settings import Adapter, Model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

KINDS = ("int8", "nf4", "torchao-int8", "torchao-int4")
IDS = list(range(20, 60))
TOLERANCE = {"int8": 0.25, "nf4": 0.7, "torchao-int8": 0.25, "torchao-int4": 0.7}
BITS = {"int8": 8, "nf4": 4, "torchao-int8": 8, "torchao-int4": 4}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose weights are mostly in blocks, as those of a large model."""
    sizes = {"n_layer": 2, "n_embd": 1024, "n_head": 8, "n_inner": 4096}
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("quantized") / "base", **sizes)


@pytest.fixture(scope="module")
def folders(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return adapter_fixtures.save_adapter_of_each_method(base, tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def exact(base: Path, folders: dict[str, Path]) -> LoadedModel:
    return load_quantized(base, folders, device="cpu", dtype="float32")


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("torchao" if request.param.startswith("torchao") else "bitsandbytes")
    return str(request.param)


@pytest.fixture(scope="module")
def loaded(kind: str, base: Path, folders: dict[str, Path]) -> LoadedModel:
    return load_quantized(base, folders, device="cuda", quantization=kind)


def load_quantized(base: Path, folders: dict[str, Path], **settings: str) -> LoadedModel:
    adapters = {name: Adapter(path=str(path)) for name, path in folders.items()}
    return load(Model.model_validate({"name": str(base)} | settings), ignore_progress, adapters)


def logits(loaded: LoadedModel, name: str | None = None, chunk_tokens: int | None = None) -> torch.Tensor:
    return manual_decoding.compute_logits(loaded, IDS, name, chunk_tokens)


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def test_weights_are_on_the_device_with_the_size_of_the_quantization(kind: str, loaded: LoadedModel) -> None:
    assert {weight.device.type for weight in loaded.runner.model.parameters()} == {"cuda"}
    half = 2 * sum(size for size in (4 * 1024 * 1024, 4 * 1024 * 1024, 1280 * 1024, 1024 * 1024)) * loaded.runner.layers
    vocabulary = loaded.runner.model.get_input_embeddings().weight.nbytes
    assert loaded.runner.weight_bytes < half * (BITS[kind] + 1.2) / 16 + 2 * vocabulary


def test_ia3_is_refused_if_bitsandbytes_computes_in_half_precision(kind: str, loaded: LoadedModel) -> None:
    is_refused = "ia3" not in [status.name for status in loaded.adapters.statuses()]
    assert is_refused == (kind in ("int8", "nf4") and loaded.placement.dtype is not torch.float32)
    assert ("needs float32 activations" in loaded.message) == is_refused


@pytest.mark.parametrize("method", [None, *adapter_fixtures.METHODS])
def test_logits_are_near_those_of_unquantized_weights(
    method: str | None, kind: str, loaded: LoadedModel, exact: LoadedModel
) -> None:
    if method == "ia3" and kind in ("int8", "nf4"):
        pytest.skip("refused, see the test above")
    off = logits(loaded)
    assert distance(logits(loaded, method), logits(exact, method)) < TOLERANCE[kind]
    assert torch.equal(logits(loaded), off)


def test_drafts_are_used_only_if_logits_are_batch_invariant(loaded: LoadedModel) -> None:
    """Up to the rounding of half precision. Without batch invariance there are no pass costs, and so no drafts."""
    if loaded.placement.is_batch_invariant:
        assert distance(logits(loaded, chunk_tokens=1), logits(loaded)) < 0.03
    else:
        assert loaded.runner.pass_costs == ()


@pytest.mark.parametrize("method", [None, "parallel", "prefix"])
def test_request_generates_the_greedy_tokens_of_single_passes(
    method: str | None, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded.runner, "pass_costs", ())  # no drafts
    generated, expected = manual_decoding.request_and_greedy_tokens(
        loaded, "def wrap(text, width=70):\n    return ", method
    )
    assert len(generated) > 1
    assert generated == expected


def test_switching_adapters_allocates_and_moves_nothing(loaded: LoadedModel) -> None:
    addresses = [weight.data_ptr() for weight in loaded.runner.model.parameters()]
    for name in ("lora", "parallel", "ptuning", None, "adapterh") * 4:
        logits(loaded, name)
    allocated = torch.cuda.memory_allocated()
    for name in ("lora", "parallel", "ptuning", None, "adapterh") * 4:
        logits(loaded, name)
    assert torch.cuda.memory_allocated() == allocated
    assert [weight.data_ptr() for weight in loaded.runner.model.parameters()] == addresses
