"""``starcoder-ls train base``, as a command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import SettingsError
from starcoder_ls.settings import Model
from training_corpus import run_command_line, write_training_corpus

TINY = (
    "--layers", "1", "--width", "64", "--batch-tokens", "128", "--row-tokens", "64", "--full-length-share", "0",
    "--no-compile", "--workers", "0",
)  # fmt: skip


@pytest.mark.slow
def test_run_limited_in_minutes_ends_with_a_model_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a packed corpus."""
    corpus, run = write_training_corpus(tmp_path / "corpus"), tmp_path / "run"
    assert run_command_line("train", "pack", corpus, tmp_path / "packed") == 0
    limits = "--minutes", "0.003", "--part-mb", "0.05"
    assert run_command_line("train", "base", tmp_path / "packed", run, *limits, *TINY) == 0
    assert "held-out loss by position" in capsys.readouterr().out
    assert len(list((run / "parts").iterdir())) > 2
    assert run_command_line("train", "unpack", run / "parts", tmp_path / "unpacked") == 0
    for name in ("model.safetensors", "tokenizer.json", "README.md"):
        assert (tmp_path / "unpacked" / name).read_bytes() == (run / "model" / name).read_bytes()
    assert json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))["n_layer"] == 1
    loaded = load(Model(name=str(run / "model"), device="cpu"), ignore_progress)
    assert loaded.ngram_strengths is not None


def test_folder_without_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"has no corpus\.bin\. Create it with"):
        run_command_line("train", "base", tmp_path, tmp_path / "run", *TINY)
    assert not (tmp_path / "run").exists()
