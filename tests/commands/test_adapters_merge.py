from __future__ import annotations

from pathlib import Path

from adapter_fixtures import GOLDEN
from starcoder_ls import settings
from starcoder_ls.commands import adapters_merge
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.progress import ignore_progress


def test_merged_checkpoint_can_be_loaded(golden_settings: Path, tmp_path: Path) -> None:
    base = settings.load(file=golden_settings).model.name
    assert adapters_merge.run(base, [str(GOLDEN / "lora")], tmp_path / "merged", golden_settings) == 0
    assert load(settings.Model(name=str(tmp_path / "merged"), device="cpu"), ignore_progress).message == ""
