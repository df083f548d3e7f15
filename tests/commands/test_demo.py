import pytest

from starcoder_ls.commands import demo
from starcoder_ls.learning.sources import HELD_OUT


@pytest.mark.parametrize("hole", demo.HOLES, ids=lambda hole: hole.title)
def test_hole_is_in_an_installed_file_that_was_held_out(hole: demo.Hole) -> None:
    cut = demo.cut_hole(hole)
    assert cut is not None
    cursor, original = cut
    assert original.strip()
    assert cursor.text[: cursor.offset].endswith(hole.before)
    assert hole.module.split(".")[0] in (*HELD_OUT, "tests/completion/prompt/test_window")


def test_holes_of_missing_and_changed_files_are_left_out() -> None:
    present = demo.HOLES[0]
    others = (
        demo.Hole("a file of a clone", "tests/absent.py", "x"),
        demo.Hole("changed", "rich.status", "no such text"),
    )
    assert list(demo.cut_present_holes((others[0], present, others[1]))) == [present]
