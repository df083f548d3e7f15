from __future__ import annotations

from pathlib import Path

import pytest

from commit_history import numbered_edits
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.edit_preparation import EditOptions, prepare
from starcoder_ls.learning.finetuning.preparation import Plan
from starcoder_ls.learning.finetuning.slices import Slice
from starcoder_ls.settings import Model, Settings


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered_edits(tmp_path_factory.mktemp("code"), 12).folder


@pytest.fixture(scope="module")
def starcoder2_long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import checkpoints  # loads torch, which most tests do without

    return checkpoints.starcoder2(tmp_path_factory.mktemp("models") / "long", max_position_embeddings=1024)


def plan_of(base: Path, options: EditOptions) -> Plan:
    return prepare(options, Settings(model=Model(name=str(base), device="cpu")), ignore_progress)


def test_plan_holds_the_newest_edits_out_and_names_them(starcoder2_long: Path, repository: Path) -> None:
    plan = plan_of(starcoder2_long, EditOptions([repository], device="cpu", row_tokens=1024))
    subjects = [text.text.partition("\0")[0] for text in plan.slices[Slice.HELD_OUT]]
    kept = sum(map(len, plan.slices.values()))
    assert subjects[-1] == "Item 11: compute with cost11"
    assert plan.record["objective"] == "edits"
    assert plan.record["edit_format"] == "issue"
    held_out = plan.record["held_out_edits"]
    assert isinstance(held_out, list)
    assert [edit[2] for edit in held_out] == [text.name for text in plan.slices[Slice.HELD_OUT]]
    assert kept + sum(count for reason, count in plan.left_out.items() if "tokens" in reason) == 12
    assert plan.rows[Slice.TRAINING].tokens > 0


def test_edits_that_do_not_fit_are_left_out(starcoder: Path, repository: Path) -> None:
    with pytest.raises(SettingsError, match="None of the 12 changes fits into 64 tokens"):
        plan_of(starcoder, EditOptions([repository], device="cpu", row_tokens=64))
