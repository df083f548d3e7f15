"""Quantized bases on a CPU: memory, logits, adapters of each method, and combinations that are refused.

``torchao-int4`` is tested in ../runner/test_rounding_check.py: a model like these loses too much by it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.loading.safetensors_files import SINGLE_FILE
from starcoder_ls.errors import AdapterInvalid, ModelInvalid, SettingsError
from starcoder_ls.settings import Adapter, Model

pytest.importorskip("bitsandbytes")
pytest.importorskip("torchao")

KINDS = ("int8", "nf4", "torchao-int8")
IDS = list(range(20, 60))

# Relative error of the logits of a random model whose weights have a spread of 0.3, against float32; as measured 0.09,
# 0.52 and 0.07. An adapter that has no effect would be 0.6 and more, that of another one above 1.
TOLERANCE = {"int8": 0.2, "nf4": 0.65, "torchao-int8": 0.2}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose widths are multiples of 64, as those of all StarCoders."""
    sizes = {"n_embd": 256, "n_head": 4, "n_inner": 1024}
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("quantized") / "base", **sizes)


@pytest.fixture(scope="module")
def folders(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return adapter_fixtures.save_adapter_of_each_method(base, tmp_path_factory.mktemp("adapters"))


def load_quantized(base: Path, kind: str, dtype: str = "auto", folders: dict[str, Path] | None = None) -> LoadedModel:
    model = Model.model_validate({"name": str(base), "device": "cpu", "quantization": kind, "dtype": dtype})
    return load(model, ignore_progress, {name: Adapter(path=str(path)) for name, path in (folders or {}).items()})


@pytest.fixture(scope="module")
def exact(base: Path, folders: dict[str, Path]) -> LoadedModel:
    return load_quantized(base, "none", "float32", folders)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def loaded(kind: str, base: Path, folders: dict[str, Path]) -> LoadedModel:
    return load_quantized(base, kind, "auto", folders)


def logits(loaded: LoadedModel, name: str | None = None, chunk_tokens: int | None = None) -> torch.Tensor:
    return manual_decoding.compute_logits(loaded, IDS, name, chunk_tokens)


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def test_weights_have_the_size_of_the_quantization_and_status_names_it(
    kind: str, base: Path, loaded: LoadedModel
) -> None:
    bits = {"int8": 8, "nf4": 4, "torchao-int8": 8}[kind]
    weights = load_file(base / SINGLE_FILE)
    quantized = sum(weight.numel() for name, weight in weights.items() if ".h." in name and weight.dim() == 2)
    rest = sum(weight.nbytes for weight in weights.values()) - 4 * quantized
    if kind == "int8":  # the output layer too, with a scale for 64 weights
        quantized += weights["transformer.wte.weight"].numel()
    assert quantized * bits / 8 + rest <= loaded.runner.weight_bytes <= quantized * (bits + 1.1) / 8 + rest
    status = loaded.ready_status("mine")
    assert (status.dtype, status.device, status.message) == (kind, "cpu", "")
    assert loaded.placement.dtype is torch.float32


def test_estimated_memory_is_within_4_percent(kind: str, base: Path, loaded: LoadedModel) -> None:
    estimate = quantization.estimate_bytes(kind, read_checkpoint(base), loaded.placement.dtype, "cpu")
    assert estimate == pytest.approx(loaded.runner.weight_bytes, rel=0.04)


def test_logits_are_near_those_of_unquantized_weights(kind: str, loaded: LoadedModel, exact: LoadedModel) -> None:
    assert 1e-3 < distance(logits(loaded), logits(exact)) < TOLERANCE[kind]


@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_adapter_changes_logits_as_on_an_unquantized_base(
    method: str, kind: str, loaded: LoadedModel, exact: LoadedModel
) -> None:
    off = logits(loaded)
    on = logits(loaded, method)
    assert distance(on, logits(exact, method)) < TOLERANCE[kind]
    effect, expected = on - off, logits(exact, method) - logits(exact)
    if method != "adapterp":  # its effect here is 0.04, less than the rounding
        similarity = float(torch.cosine_similarity(effect.flatten(), expected.flatten(), dim=0))
        assert similarity > (0.9 if kind.endswith("int8") else 0.4)
    assert not torch.equal(on, off)
    assert torch.equal(logits(loaded), off)


def test_drafts_are_used_only_if_logits_are_batch_invariant(loaded: LoadedModel) -> None:
    """One-token passes give the logits of a single pass. Without batch invariance there are no pass costs."""
    if loaded.placement.is_batch_invariant:
        assert distance(logits(loaded, chunk_tokens=1), logits(loaded)) < 1e-4
        assert loaded.runner.pass_costs
    else:
        assert loaded.runner.pass_costs == ()


@pytest.mark.parametrize("method", [None, "parallel", "prefix"])
def test_request_generates_the_greedy_tokens_of_single_passes(method: str | None, loaded: LoadedModel) -> None:
    generated, expected = manual_decoding.request_and_greedy_tokens(
        loaded, "def wrap(text, width=70):\n    return ", method
    )
    assert len(generated) > 1
    assert generated == expected


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_activations_may_be_half_precision_except_with_own_kernels(
    dtype: str, kind: str, base: Path, exact: LoadedModel
) -> None:
    if kind == "int8":
        with pytest.raises(SettingsError, match=r"computes in float32 only. Set `model.dtype` to auto"):
            load_quantized(base, kind, dtype)
        return
    assert distance(logits(load_quantized(base, kind, dtype)).float(), logits(exact)) < 1.2 * TOLERANCE[kind]


def test_half_precision_ia3_runs_on_torchao_but_not_on_bitsandbytes(
    kind: str, base: Path, folders: dict[str, Path], exact: LoadedModel
) -> None:
    if kind == "int8":
        pytest.skip("our own kernels compute in float32")
    half = load_quantized(base, kind, "bfloat16")
    ia3 = prepare_adapter(Adapter(path=str(folders["ia3"])), True, ignore_progress)
    if kind == "nf4":
        with pytest.raises(AdapterInvalid, match=r"needs float32 activations.*torchao-int8"):
            half.adapters.add("ia3", ia3)
    else:
        half.adapters.add("ia3", ia3)
        assert distance(logits(half, "ia3"), logits(exact, "ia3")) < 1.2 * TOLERANCE[kind]


def test_non_finite_weights_are_refused(kind: str, base: Path, tmp_path: Path) -> None:
    folder = checkpoints.copy_checkpoint(base, tmp_path / "copy")
    tensors = load_file(folder / SINGLE_FILE)
    tensors["transformer.h.1.mlp.c_fc.weight"][3] = float("nan")
    save_file(tensors, folder / SINGLE_FILE, {"format": "pt"})
    with pytest.raises(ModelInvalid, match=r"computes no finite numbers|cannot be quantized|which is not finite"):
        load_quantized(folder, kind)


def test_int8_on_a_cpu_needs_no_library_and_uses_drafts(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert load_quantized(base, "int8").runner.pass_costs


def test_shape_without_kernels_is_refused_with_the_librarys_reason(starcoder: Path) -> None:
    """bitsandbytes 0.50 needs rows in multiples of 32 on CPUs with avx512_bf16; on others the model loads."""
    try:
        assert load_quantized(starcoder, "nf4").ready_status("mine").dtype == "nf4"
    except ModelInvalid as error:
        assert "bitsandbytes says" in str(error)  # noqa: PT017
        assert "Set `model.quantization` to another kind" in str(error)  # noqa: PT017


@pytest.mark.parametrize(("name", "library"), [("nf4", "bitsandbytes"), ("torchao-int8", "torchao")])
def test_missing_library_is_refused_with_the_extra_to_install(
    name: Any, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # Python treats the module as missing
    with pytest.raises(SettingsError, match=rf"needs {library}.*starcoder-ls\[quantization\]"):
        quantization.require_supported(Model(quantization=name), "cpu", lambda: True)


@pytest.mark.parametrize(
    ("settings", "device", "message"),
    [
        ({"quantization": "int8"}, "mps", "does not run on mps"),
        ({"quantization": "nf4", "max_memory": {"cpu": "1GiB"}}, "cpu", "cannot be split over"),
        ({"quantization": "int8", "max_memory": {"cpu": "1GiB"}}, "cpu", "cannot be split over"),
        ({"quantization": "torchao-int4", "dtype": "float32"}, "cuda", "bfloat16 only"),
        ({"quantization": "torchao-int4", "dtype": "bfloat16"}, "cpu", "torchao-int4 and .* in float32 only"),
    ],
)
def test_conflicting_settings_are_refused(settings: dict[str, Any], device: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        quantization.require_supported(Model.model_validate(settings), device, lambda: True)


def test_unquantized_base_has_no_requirements() -> None:
    quantization.require_supported(Model(max_memory={"cpu": "1GiB"}), "mps", lambda: True)


@pytest.mark.parametrize("kind", ["int8", "torchao-int8"])
def test_kinds_that_are_slower_on_cuda_recommend_torchao_int4(kind: str) -> None:
    assert "Set it to torchao-int4." in quantization.describe_drawback(kind, "cuda")
    assert quantization.describe_drawback(kind, "cpu") == ""


def test_recommended_kinds_have_no_drawback() -> None:
    assert quantization.RECOMMENDED == "torchao-int4"
    assert [quantization.describe_drawback(kind, "cuda") for kind in ("none", "nf4", "torchao-int4")] == [""] * 3


def test_torchao_int4_is_refused_on_a_card_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Model(quantization="torchao-int4")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    quantization.require_supported(settings, "cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: False)
    with pytest.raises(SettingsError, match="need bfloat16, and this GPU has none"):
        quantization.require_supported(settings, "cuda", lambda: True)


def test_tinygemm_multiplies_by_the_weights_that_the_groups_stand_for() -> None:
    """torch's product for a CPU, in the numbers of the one for CUDA: 4 bits, a scale and a zero point per group."""
    from torchao.quantization import utils

    random = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 256, generator=random).bfloat16()
    states = torch.randn(8, 256, generator=random).bfloat16()
    values, scales_and_zeros = utils.groupwise_affine_quantize_tensor(weight, 4, quantization.GROUP_SIZE)
    rounded = utils.groupwise_affine_dequantize_tensor(values, scales_and_zeros, 4, quantization.GROUP_SIZE)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)

    def multiply(rows: torch.Tensor) -> torch.Tensor:
        return torch.ops.aten._weight_int4pack_mm_for_cpu(rows, packed, quantization.GROUP_SIZE, scales_and_zeros)

    found, exact = multiply(states).double(), states.double() @ weight.double().T
    assert float((found - states.double() @ rounded.double().T).norm() / found.norm()) < 4e-3  # bfloat16's rounding
    assert float((found - exact).norm() / exact.norm()) < 0.13  # a sixteenth of a group's range, about 4.5 deviations
    assert packed.nbytes * 2 == weight.numel()
    for row in range(len(states)):
        assert torch.equal(multiply(states[row : row + 1])[0], multiply(states)[row]), "drafts are safe"
