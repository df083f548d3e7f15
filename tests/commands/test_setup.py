from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints
from starcoder_ls import settings
from starcoder_ls.commands.setup import SIZES, Wishes, proposals, run
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
def test_the_largest_that_fits_comes_first(free_gb: float, model: str, quantization: str) -> None:
    first = proposals("cuda", free_gb, has_bitsandbytes=True)[0]
    assert (first.model, first.quantization) == (model, quantization)
    assert first.needed_gb <= free_gb


def test_nothing_is_quantized_without_the_library_for_it() -> None:
    offered = proposals("cuda", 15.5, has_bitsandbytes=False)
    assert {one.quantization for one in offered} == {"none"}
    assert offered[0].model == "bigcode/starcoderbase-3b"


def test_a_cpu_is_offered_what_it_can_answer_in_time_with() -> None:
    offered = [one.model for one in proposals("cpu", 500.0, has_bitsandbytes=True)]
    assert offered == ["bigcode/starcoderbase-1b", "bundled"]


def test_fewer_bits_need_less_memory() -> None:
    for size in SIZES:
        assert size.needed_gb("nf4") < size.needed_gb("int8") < size.needed_gb("none")


def test_what_was_chosen_is_written_and_all_else_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('# mine\n[model]\ndevice = "cpu"  # no GPU\nname = "old"\n\n[log]\nlevel = "error"\n')
    assert run(Wishes("bigcode/starcoderbase-1b", is_yes=True, is_fetched=False), file, lambda: gpu(9.0)) == 0
    chosen = settings.load(file=file)
    assert (chosen.model.name, chosen.model.device, chosen.log.level) == ("bigcode/starcoderbase-1b", "cpu", "error")
    assert chosen.adapters["instruct"].path == "bigcode/astraios-1b-lora"
    assert file.read_text().startswith('# mine\n[model]\ndevice = "cpu"  # no GPU\n')
    said = capsys.readouterr().out
    assert "starcoder.server.command" in said
    assert 'require("starcoder").setup' in said


def test_a_model_of_ones_own_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    with pytest.raises(ModelNotFound, match="There is no folder"):
        run(Wishes(model=str(tmp_path / "absent"), is_yes=True), file, lambda: gpu(8.0))
    with pytest.raises(SettingsError, match="quantization"):
        run(Wishes(quantization="int2", is_yes=True), file, lambda: gpu(8.0))
    assert not file.exists()
    own = checkpoints.gpt_bigcode(tmp_path / "own")
    assert run(Wishes(model=str(own), adapter="", is_yes=True), file, lambda: gpu(8.0)) == 0
    assert settings.load(file=file).model.name == str(own)
    assert not settings.load(file=file).adapters
