from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.lsp.documents.lines import Lines

TEXTS = st.text(alphabet="ab\r\n\f\v\x1c\x85\u2028😀", max_size=40)


def starts_of(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\r\n|\r|\n", text))]


@given(TEXTS, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), TEXTS), max_size=12))
def test_lines_after_edits_equal_a_new_search(text: str, edits: list[tuple[int, int, str]]) -> None:
    lines = Lines(text)
    for first, second, inserted in edits:
        start, end = sorted((min(first, len(text)), min(second, len(text))))
        # A position between CR and LF does not exist in LSP; see Document.offset_at.
        start -= text[start - 1 : start + 1] == "\r\n"
        end -= text[end - 1 : end + 1] == "\r\n" and end > start
        new_text = text[:start] + inserted + text[end:]
        lines.replace(start, end, new_text, len(new_text) - len(text))
        text = new_text
        expected = starts_of(text)
        assert [lines.start(n) for n in range(len(lines))] == expected
        for offset in range(len(text) + 1):
            assert lines.line_of(offset) == sum(begin <= offset for begin in expected) - 1


@pytest.mark.parametrize("char", ["\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_lf_cr_and_crlf_end_a_line(char: str) -> None:
    assert len(Lines(f"a{char}b")) == 1
    assert len(Lines(f"a\r\nb\rc\nd{char}")) == 4


def test_span_of_a_line_excludes_its_line_end() -> None:
    text = "ab\r\ncd\re\n\nf"
    lines = Lines(text)
    assert [text[slice(*lines.span(n, text))] for n in range(len(lines))] == ["ab", "cd", "e", "", "f"]


def test_key_stroke_in_a_long_line_searches_only_its_neighbours() -> None:
    """The text has line ends that were not there before: those that are found were searched for."""
    lines = Lines("x" * 1_000)
    lines.replace(500, 500, "x" * 498 + "\n\nk\n\n" + "x" * 498, 1)
    assert [lines.start(number) for number in range(len(lines))] == [0, 500]
