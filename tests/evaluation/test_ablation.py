from __future__ import annotations

from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import ablation


def test_each_run_is_held_against_the_first_by_kind_and_over_all(tmp_path: Path) -> None:
    gold = run_of(repository(tmp_path), lambda hole: hole.middle)
    silence = run_of(tmp_path, lambda _: "")
    rows = ablation.table([("silence", silence), ("gold", gold)]).splitlines()
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


def test_runs_over_different_holes_make_no_table(tmp_path: Path) -> None:
    one = run_of(repository(tmp_path), lambda _: "")
    with pytest.raises(SettingsError, match="one and other are not runs over the same holes"):
        ablation.table([("one", one), ("other", run_of(tmp_path, lambda _: "", seed=9))])


DOCUMENT = "# Quality\n\n<!-- holes: written by a script -->\nold\n\n| old |\n<!-- end of holes -->\n\nThe rest.\n"


def test_a_block_is_replaced_and_nothing_else() -> None:
    placed = ablation.placed(DOCUMENT, "holes", "\nnew\n")
    assert placed == DOCUMENT.replace("old\n\n| old |", "new")
    assert ablation.placed(placed, "holes", "new") == placed


@pytest.mark.parametrize("document", ["", DOCUMENT + DOCUMENT, "<!-- end of holes -->\n<!-- holes: x -->\n"])
def test_a_document_without_one_place_for_it_is_refused(document: str) -> None:
    with pytest.raises(SettingsError, match="not one place"):
        ablation.placed(document, "holes", "new")
