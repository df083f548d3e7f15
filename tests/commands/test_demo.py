import pytest

from starcoder_ls.commands import demo
from starcoder_ls.learning.sources import HELD_OUT


@pytest.mark.parametrize("hole", demo.HOLES, ids=lambda hole: hole.title)
def test_hole_is_in_a_file_that_is_here_and_was_held_out(hole: demo.Hole) -> None:
    found = demo.cut(hole)
    assert found is not None
    cursor, stood = found
    assert stood.strip()
    assert cursor.text[: cursor.offset].endswith(hole.before)
    assert hole.module.split(".")[0] in (*HELD_OUT, "tests/completion/prompt/test_window")
