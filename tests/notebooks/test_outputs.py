from __future__ import annotations

from typing import Any

import pytest

from starcoder_ls.notebooks.outputs import output_text, shorten_output


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([{"output_type": "stream", "text": ["one\n", "two\n"]}], "one\ntwo"),
        ([{"output_type": "stream", "text": "a\n"}, {"data": {"text/plain": ["4"]}}], "a\n4"),
        ([{"data": {"text/plain": "Figure", "image/png": "iVBOR"}}], "Figure"),
        ([{"data": {"image/png": "iVBOR"}}], ""),
        ([{"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["long"]}], "KeyError: 'x'"),
        ([{"output_type": "stream", "text": "\x1b[31mred\x1b[0m"}], "red"),
        ([], ""),
        (None, ""),
        ({"text": "x"}, ""),
        ([3, {"text": 4}, {"data": []}, {"text": [1, "ok"]}], "ok"),
    ],
)
def test_text_of_outputs_is_read_and_everything_else_left_out(outputs: Any, expected: str) -> None:
    assert output_text(outputs) == expected


def test_long_output_is_cut_as_in_training() -> None:
    text = output_text([{"output_type": "stream", "text": ["x" * 600] * 10_000}])
    assert text == "x" * 1000 + "[...]"
    assert shorten_output("y" * 1000) == "y" * 1000
