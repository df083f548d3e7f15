from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints
from starcoder_ls.engine.loading.integrity import CHECKPOINT_FILES, read_manifest
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.learning.release import finish_checkpoint
from starcoder_ls.settings import Model


def test_finished_checkpoint_is_checked_when_it_is_loaded(starcoder: Path, tmp_path: Path) -> None:
    folder = checkpoints.copy_checkpoint(starcoder, tmp_path / "copy")
    finish_checkpoint(folder)
    assert read_manifest(folder).keys() == {*CHECKPOINT_FILES, "model.safetensors"} - {"ngram_strengths.json"}
    resolve_checkpoint(Model(name=str(folder)), ignore_progress)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2] + b"\1\1")
    with pytest.raises(ModelInvalid, match="its hash is not the recorded one"):
        resolve_checkpoint(Model(name=str(folder)), ignore_progress)
