"""Quantized bases on a CPU: what loads, what it says of itself, every adapter on top, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import adapters as made
import checkpoints
import manual_decoding
from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.safetensors_files import SINGLE_FILE
from starcoder_ls.errors import AdapterInvalid, ModelInvalid, SettingsError
from starcoder_ls.settings import Adapter, Model

pytest.importorskip("bitsandbytes")
pytest.importorskip("torchao")

KINDS = ("int8", "nf4", "torchao-int8", "torchao-int4")
IDS = list(range(20, 60))

# Relative error of the logits of a random model whose weights have a spread of 0.3, against float32; as measured 0.09,
# 0.52, 0.07 and 0.40. An adapter that has no effect would be 0.6 and more, that of another one above 1.
TOLERANCE = {"int8": 0.2, "nf4": 0.65, "torchao-int8": 0.2, "torchao-int4": 0.6}


def nothing(_fraction: float, _sentence: str) -> None:
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Widths of whole groups of 64, as every StarCoder has them."""
    sizes = {"n_embd": 256, "n_head": 4, "n_inner": 1024}
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("quantized") / "base", **sizes)


@pytest.fixture(scope="module")
def folders(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made.of_every_method(base, tmp_path_factory.mktemp("adapters"))


def loaded_as(base: Path, kind: str, dtype: str = "auto", folders: dict[str, Path] | None = None) -> LoadedModel:
    wanted = Model.model_validate({"name": str(base), "device": "cpu", "quantization": kind, "dtype": dtype})
    return load(wanted, nothing, {name: Adapter(path=str(path)) for name, path in (folders or {}).items()})


@pytest.fixture(scope="module")
def exact(base: Path, folders: dict[str, Path]) -> LoadedModel:
    return loaded_as(base, "none", "float32", folders)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def loaded(kind: str, base: Path, folders: dict[str, Path]) -> LoadedModel:
    return loaded_as(base, kind, "auto", folders)


def logits(loaded: LoadedModel, name: str | None = None, at_once: int | None = None) -> torch.Tensor:
    return manual_decoding.compute_logits(loaded, IDS, name, at_once)


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_weights_take_what_was_asked_for_and_the_status_says_so(kind: str, base: Path, loaded: LoadedModel) -> None:
    bits = {"int8": 8, "nf4": 4, "torchao-int8": 8, "torchao-int4": 4}[kind]
    weights = load_file(base / SINGLE_FILE)
    few = sum(weight.numel() for name, weight in weights.items() if ".h." in name and weight.dim() == 2)
    rest = sum(weight.nbytes for weight in weights.values()) - 4 * few
    if kind == "int8":  # the vocabulary also to multiply by, and a scale for 64 weights
        few += weights["transformer.wte.weight"].numel()
    assert few * bits / 8 + rest <= loaded.runner.weight_bytes <= few * (bits + 1.1) / 8 + rest
    status = loaded.ready_status("mine")
    assert (status.dtype, status.device, status.message) == (kind, "cpu", "")
    assert loaded.placement.dtype is torch.float32


def test_estimate_is_what_it_takes(kind: str, base: Path, loaded: LoadedModel) -> None:
    estimate = quantization.estimated_bytes(kind, read_checkpoint(base), loaded.placement.dtype, "cpu")
    assert estimate == pytest.approx(loaded.runner.weight_bytes, rel=0.04)


def test_logits_are_near_those_of_the_exact_weights(kind: str, loaded: LoadedModel, exact: LoadedModel) -> None:
    assert 1e-3 < distance(logits(loaded), logits(exact)) < TOLERANCE[kind]


@pytest.mark.parametrize("method", made.METHODS)
def test_every_adapter_takes_effect_on_top(method: str, kind: str, loaded: LoadedModel, exact: LoadedModel) -> None:
    off = logits(loaded)
    on = logits(loaded, method)
    assert distance(on, logits(exact, method)) < TOLERANCE[kind]
    effect, expected = on - off, logits(exact, method) - logits(exact)
    if method != "adapterp":  # its whole effect is 0.04 here, less than a rounding
        likeness = float(torch.cosine_similarity(effect.flatten(), expected.flatten(), dim=0))
        assert likeness > (0.9 if kind.endswith("int8") else 0.4)
    assert not torch.equal(on, off)
    assert torch.equal(logits(loaded), off)


def test_a_draft_cannot_change_an_answer(loaded: LoadedModel) -> None:
    """Token by token or all at once; where the library lets one token change another's rounding, nothing is drafted."""
    if loaded.placement.keeps_rows_apart:
        assert distance(logits(loaded, at_once=1), logits(loaded)) < 1e-4
        assert loaded.runner.pass_costs
    else:
        assert loaded.runner.pass_costs == ()


@pytest.mark.parametrize("method", [None, "parallel", "prefix"])
def test_requests_are_answered_as_by_hand(method: str | None, loaded: LoadedModel) -> None:
    said, expected = manual_decoding.request_and_greedy_tokens(loaded, "def wrap(text, width=70):\n    return ", method)
    assert len(said) > 1
    assert said == expected


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_rest_may_be_half_precision_but_for_our_own_kernels(
    dtype: str, kind: str, base: Path, exact: LoadedModel
) -> None:
    if kind == "int8":
        with pytest.raises(SettingsError, match=r"computes in float32 alone. Set `model.dtype` to auto"):
            loaded_as(base, kind, dtype)
        return
    assert distance(logits(loaded_as(base, kind, dtype)).float(), logits(exact)) < 1.2 * TOLERANCE[kind]


def test_ia3_in_half_precision_runs_on_torchao_and_is_refused_on_bitsandbytes(
    kind: str, base: Path, folders: dict[str, Path], exact: LoadedModel
) -> None:
    if kind == "int8":
        pytest.skip("our own kernels compute in float32")
    half = loaded_as(base, kind, "bfloat16")
    ia3 = prepare_adapter(Adapter(path=str(folders["ia3"])), True, nothing)
    if kind == "nf4":
        with pytest.raises(AdapterInvalid, match=r"needs float32 activations.*torchao-int8"):
            half.adapters.add("ia3", ia3)
    else:
        half.adapters.add("ia3", ia3)
        assert distance(logits(half, "ia3"), logits(exact, "ia3")) < 1.2 * TOLERANCE[kind]


def test_weights_that_are_not_finite_are_refused(kind: str, base: Path, tmp_path: Path) -> None:
    folder = checkpoints.copy_checkpoint(base, tmp_path / "copy")
    tensors = load_file(folder / SINGLE_FILE)
    tensors["transformer.h.1.mlp.c_fc.weight"][3] = float("nan")
    save_file(tensors, folder / SINGLE_FILE, {"format": "pt"})
    with pytest.raises(ModelInvalid, match=r"no finite numbers|cannot be quantized|which is not finite"):
        loaded_as(folder, kind)


def test_8_bits_need_no_library_on_a_cpu_and_are_drafted_for(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert loaded_as(base, "int8").runner.pass_costs


def test_a_shape_that_the_library_lacks_kernels_for_is_said_with_a_way_out(starcoder: Path) -> None:
    """bitsandbytes 0.50 on CPUs with avx512_bf16: no rows but multiples of 32; elsewhere it runs."""
    try:
        assert loaded_as(starcoder, "nf4").ready_status("mine").dtype == "nf4"
    except ModelInvalid as error:
        assert "bitsandbytes says" in str(error)  # noqa: PT017
        assert "Set `model.quantization` to another kind" in str(error)  # noqa: PT017


def test_widths_that_torchao_leaves_alone_without_a_word_are_refused(starcoder: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"multiple of 64.*another kind"):
        loaded_as(starcoder, "torchao-int4")


def test_libraries_that_are_installed_say_nothing_at_import() -> None:
    code = "import sys, starcoder_ls.engine.assembly; assert {'torchao', 'bitsandbytes'} <= sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "library"), [("nf4", "bitsandbytes"), ("torchao-int8", "torchao")])
def test_missing_library_is_named_with_the_extra_to_install(
    name: Any, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # Python's own mark of a module that is not there
    with pytest.raises(SettingsError, match=rf"needs {library}.*starcoder-ls\[quantization\]"):
        quantization.require(Model(quantization=name), "cpu", lambda: True)


@pytest.mark.parametrize(
    ("wanted", "device", "said"),
    [
        ({"quantization": "int8"}, "mps", "does not run on mps"),
        ({"quantization": "nf4", "max_memory": {"cpu": "1GiB"}}, "cpu", "stay on one device"),
        ({"quantization": "int8", "max_memory": {"cpu": "1GiB"}}, "cpu", "stay on one device"),
        ({"quantization": "torchao-int4", "dtype": "float32"}, "cuda", "bfloat16 alone"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(wanted: dict[str, Any], device: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        quantization.require(Model.model_validate(wanted), device, lambda: True)


def test_nothing_is_required_of_a_plain_base() -> None:
    quantization.require(Model(max_memory={"cpu": "1GiB"}), "mps", lambda: True)
