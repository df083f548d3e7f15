from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.rewrite import text_lines


@given(st.text(alphabet="a \t\r\n\x0c\u2028"))
def test_lines_join_to_the_text_and_are_not_empty(text: str) -> None:
    lines = text_lines.split_lines(text)
    assert "".join(lines) == text
    assert all(lines)


def test_only_line_ends_of_lsp_separate_lines() -> None:
    assert text_lines.split_lines("a\x0cb\u2028c\x85d\r\ne\rf\n") == ["a\x0cb\u2028c\x85d\r\n", "e\r", "f\n"]


@pytest.mark.parametrize(("text", "end"), [("", "\n"), ("a\r\nb\r\nc\n", "\r\n"), ("a\rb", "\r")])
def test_dominant_line_end_is_the_most_frequent(text: str, end: str) -> None:
    assert text_lines.dominant_line_end(text) == end


@pytest.mark.parametrize(
    ("lines", "indentation"),
    [
        (["  a", "", "    b"], "  "),
        (["\ta", "  b"], ""),
        (["", " "], ""),
        (["\t a", "\t  b"], "\t "),
        (["a", "  b"], ""),
    ],
)
def test_common_indentation_is_shared_by_all_lines(lines: list[str], indentation: str) -> None:
    assert text_lines.common_indentation(lines) == indentation
    assert all(line.startswith(indentation) for line in lines if line.strip())
