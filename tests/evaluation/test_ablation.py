from __future__ import annotations

from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import ablation


def test_table_compares_each_run_with_the_first_by_kind_and_overall(tmp_path: Path) -> None:
    gold = run_of(repository(tmp_path), lambda hole: hole.middle)
    no_answers = run_of(tmp_path, lambda _: "")
    rows = ablation.render_table([("silence", no_answers), ("gold", gold)]).splitlines()
    count = len(gold.holes)
    assert [row.split(" | ")[0] for row in rows[2::2]] == [
        f"| all ({count})", *(f"| {kind} ({sum(hole.kind == kind for hole in gold.holes)})"
                              for kind in ("single-line", "rest of line", "block", "random span")),
    ]  # fmt: skip
    first, second = (row.strip("| ").split(" | ") for row in rows[2:4])
    assert first[1] == "silence"
    assert first[2].startswith("0.0 (0.0–")
    assert second[1] == "gold"
    assert second[3] == "+100.0 (+100.0 to +100.0)"
    assert float(second[4]) < 0.05
    assert second[-2:] == ["0.0", "1.00"]


def test_table_rejects_runs_over_different_holes(tmp_path: Path) -> None:
    run = run_of(repository(tmp_path), lambda _: "")
    with pytest.raises(SettingsError, match="one and other are not runs over the same holes"):
        ablation.render_table([("one", run), ("other", run_of(tmp_path, lambda _: "", seed=9))])


DOCUMENT = "# Quality\n\n<!-- holes: written by a script -->\nold\n\n| old |\n<!-- end of holes -->\n\nThe rest.\n"


def test_replace_block_changes_only_the_block() -> None:
    replaced = ablation.replace_block(DOCUMENT, "holes", "\nnew\n")
    assert replaced == DOCUMENT.replace("old\n\n| old |", "new")
    assert ablation.replace_block(replaced, "holes", "new") == replaced


@pytest.mark.parametrize("document", ["", DOCUMENT + DOCUMENT, "<!-- end of holes -->\n<!-- holes: x -->\n"])
def test_replace_block_rejects_missing_or_repeated_comments(document: str) -> None:
    with pytest.raises(SettingsError, match="must contain"):
        ablation.replace_block(document, "holes", "new")
