from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints
from starcoder_ls.engine.adapters.base_names import is_other_base, is_same_name
from starcoder_ls.engine.loading.checkpoint import read_checkpoint


@pytest.mark.parametrize(
    ("base_name", "model_name", "is_other"),
    [
        ("bigcode/starcoder", "bigcode/starcoderbase", True),
        ("bigcode/starcoder2-7b", "/models/mine", True),
        ("owner/model", "other/fine-tune", True),
        ("bundled", "/models/mine", True),
        ("bigcode/starcoder", "mirror/StarCoder", False),
        ("bigcode/starcoder", "/models/starcoder/", False),
        ("bigcode/starcoder", "/cache/models--bigcode--starcoder/snapshots/0123", False),
        ("/old/runs/checkpoint-500", "bigcode/starcoder", False),
        ("./output", "/models/mine", False),
        ("", "/models/mine", False),
    ],
)
def test_known_and_hub_names_decide(base_name: str, model_name: str, is_other: bool, starcoder: Path) -> None:
    assert is_other_base(base_name, model_name, read_checkpoint(starcoder)) == is_other


def test_folder_on_this_machine_is_compared_by_its_contents(starcoder: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(starcoder)
    copy = checkpoints.copy_checkpoint(starcoder, tmp_path / "renamed")
    assert not is_other_base(str(copy), str(starcoder), checkpoint)
    other = checkpoints.gpt_bigcode(tmp_path / starcoder.name, seed=9)
    assert is_other_base(str(other), str(starcoder), checkpoint)


def test_case_and_slashes_do_not_matter_in_names() -> None:
    assert is_same_name("bigcode/starcoderbase-7b", "/models/StarCoderBase-7b/")
    assert not is_same_name("bigcode/starcoderbase-7b", "/models/starcoderbase-1b")
