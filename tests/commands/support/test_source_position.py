from pathlib import Path

import pytest

from starcoder_ls.commands.support import source_position
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.errors import DocumentExcluded, DocumentOutOfSync, SettingsError


@pytest.mark.parametrize(
    ("text", "line", "column", "offset"),
    [
        ("ab\ncd\n", 1, 1, 0),
        ("ab\ncd\n", 2, 3, 5),
        ("ab\ncd\n", 3, 1, 6),
        ("", 1, 1, 0),
        ("a\r\nb", 2, 1, 3),
        ("é\nb", 2, 2, 3),
    ],
)
def test_lines_and_columns_count_from_one(text: str, line: int, column: int, offset: int) -> None:
    assert source_position.offset_of(text, line, column) == offset


@pytest.mark.parametrize("text", ["ab\ncd\n", "a\r\nb", "a\rb\r", "", "a\x0cb\n"])
def test_line_and_column_lead_back(text: str) -> None:
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] != "\r\n":  # no cursor stands inside a line end
            assert source_position.offset_of(text, *source_position.line_and_column(text, offset)) == offset


def test_form_feed_ends_no_line() -> None:
    assert source_position.offset_of("a\x0cb\u2028c\nd", 2, 1) == 6


@pytest.mark.parametrize(("line", "column"), [(0, 1), (4, 1), (1, 0), (1, 4)])
def test_place_outside_the_text_is_refused_with_what_there_is(line: int, column: int) -> None:
    with pytest.raises(DocumentOutOfSync, match="has"):
        source_position.offset_of("ab\ncd\n", line, column)


@pytest.mark.parametrize("given", ["a.py", "a.py:1", "a.py:x:1", ":1:1", "a.py:1:-1", "a.py:²:1"])
def test_malformed_place_is_refused_with_an_example(given: str) -> None:
    with pytest.raises(SettingsError, match="FILE:LINE:COL"):
        source_position.cursor_at(given)


def test_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a:b.py"
    file.write_bytes(b"x\r\ny\r\n")
    cursor = source_position.cursor_at(f"{file}:2:2")
    assert cursor.text == "x\r\ny\r\n"
    assert cursor.offset == 4


def test_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        source_position.cursor_at(f"{file}:1:1")


def test_ghost_stands_at_the_cursor_in_its_own_style() -> None:
    shown = source_position.render_suggestion(Cursor("a = 1\nb = \nc = 3\n", 10), "2")
    assert shown.plain.startswith("a = 1\nb = 2\nc = 3")
    ghost = next(span for span in shown.spans if "italic" in str(span.style))
    assert shown.plain[ghost.start : ghost.end] == "2"


def test_a_file_that_no_model_may_see_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1")
    with pytest.raises(DocumentExcluded, match="looks like a secret"):
        source_position.cursor_at(f"{tmp_path / '.env'}:1:1")
    assert source_position.cursor_at(f"{tmp_path / '.env'}:1:1", ["!.env"]).text == "A=1"
