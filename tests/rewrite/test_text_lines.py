from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.rewrite import text_lines


@given(st.text(alphabet="a \t\r\n\x0c\u2028"))
def test_lines_join_to_the_text_and_none_is_empty(text: str) -> None:
    rows = text_lines.split(text)
    assert "".join(rows) == text
    assert all(rows)


def test_only_the_ends_of_lsp_end_a_line() -> None:
    assert text_lines.split("a\x0cb\u2028c\x85d\r\ne\rf\n") == ["a\x0cb\u2028c\x85d\r\n", "e\r", "f\n"]


@pytest.mark.parametrize(("text", "end"), [("", "\n"), ("a\r\nb\r\nc\n", "\r\n"), ("a\rb", "\r")])
def test_the_line_end_used_most_is_the_files(text: str, end: str) -> None:
    assert text_lines.line_end(text) == end


@pytest.mark.parametrize(
    ("rows", "margin"),
    [
        (["  a", "", "    b"], "  "),
        (["\ta", "  b"], ""),
        (["", " "], ""),
        (["\t a", "\t  b"], "\t "),
        (["a", "  b"], ""),
    ],
)
def test_the_margin_is_what_all_lines_share(rows: list[str], margin: str) -> None:
    assert text_lines.margin(rows) == margin
    assert all(row.startswith(margin) for row in rows if row.strip())


@pytest.mark.parametrize(
    ("rows", "wanted", "expected"),
    [
        (["a", "    b", "        c"], "  ", ["a", "  b", "    c"]),
        (["a", "  b", "    c"], "\t", ["a", "\tb", "\t\tc"]),
        (["a", "\tb", "\t\tc"], "    ", ["a", "    b", "        c"]),
        (["f(a,", "  b)", "     c"], "    ", ["f(a,", "    b)", "         c"]),
        (["a", "b"], "\t", ["a", "b"]),
        (["f(a,", "            b)"], "    ", ["f(a,", "            b)"]),
    ],
)
def test_steps_of_indentation_are_replaced_and_what_is_beyond_them_is_kept(
    rows: list[str], wanted: str, expected: list[str]
) -> None:
    assert text_lines.in_steps(rows, wanted) == expected
