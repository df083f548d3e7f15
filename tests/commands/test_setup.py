from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints
from starcoder_ls import settings
from starcoder_ls.commands.setup import SIZES, SetupOptions, proposals, run
from starcoder_ls.errors import ModelNotFound, SettingsError


def gpu(free_gb: float) -> tuple[str, str, float]:
    return "cuda", "a GPU", free_gb


@pytest.mark.parametrize(
    ("free_gb", "model", "quantization"),
    [
        (2.7, "bigcode/starcoderbase-1b", "int8"),
        (3.9, "bigcode/starcoderbase-3b", "nf4"),
        (7.9, "bigcode/starcoderbase-7b", "nf4"),
        (15.5, "bigcode/starcoderbase", "nf4"),
        (23.5, "bigcode/starcoderbase", "int8"),
        (79.0, "bigcode/starcoderbase", "none"),
        (1.5, "bundled", "none"),
    ],
)
def test_largest_model_that_fits_is_the_first_proposal(free_gb: float, model: str, quantization: str) -> None:
    first = proposals("cuda", free_gb, has_bitsandbytes=True)[0]
    assert (first.model, first.quantization) == (model, quantization)
    assert first.needed_gb <= free_gb


def test_nothing_is_quantized_without_bitsandbytes() -> None:
    offered = proposals("cuda", 15.5, has_bitsandbytes=False)
    assert {proposal.quantization for proposal in offered} == {"none"}
    assert offered[0].model == "bigcode/starcoderbase-3b"


def test_only_small_models_are_proposed_for_a_cpu() -> None:
    offered = [proposal.model for proposal in proposals("cpu", 500.0, has_bitsandbytes=True)]
    assert offered == ["bigcode/starcoderbase-1b", "bundled"]


def test_quantization_reduces_the_needed_memory() -> None:
    for size in SIZES:
        assert size.needed_gb("nf4") < size.needed_gb("int8") < size.needed_gb("none")


def test_choice_is_written_and_other_settings_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('# mine\n[model]\ndevice = "cpu"  # no GPU\nname = "old"\n\n[log]\nlevel = "error"\n')
    assert (
        run(SetupOptions("bigcode/starcoderbase-1b", accepts_all=True, may_download=False), file, lambda: gpu(9.0)) == 0
    )
    config = settings.load(file=file)
    assert (config.model.name, config.model.device, config.log.level) == ("bigcode/starcoderbase-1b", "cpu", "error")
    assert config.adapters["instruct"].path == "bigcode/astraios-1b-lora"
    assert file.read_text().startswith('# mine\n[model]\ndevice = "cpu"  # no GPU\n')
    printed = capsys.readouterr().out
    assert "starcoder.server.command" in printed
    assert 'require("starcoder").setup' in printed


def test_model_of_the_user_is_checked_before_the_settings_are_written(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    with pytest.raises(ModelNotFound, match="There is no folder"):
        run(SetupOptions(model=str(tmp_path / "absent"), accepts_all=True), file, lambda: gpu(8.0))
    with pytest.raises(SettingsError, match="quantization"):
        run(SetupOptions(quantization="int2", accepts_all=True), file, lambda: gpu(8.0))
    assert not file.exists()
    own = checkpoints.gpt_bigcode(tmp_path / "own")
    assert run(SetupOptions(model=str(own), adapter="", accepts_all=True), file, lambda: gpu(8.0)) == 0
    assert settings.load(file=file).model.name == str(own)
    assert not settings.load(file=file).adapters
