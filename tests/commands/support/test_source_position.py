import os
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
def test_lines_and_columns_are_counted_from_one(text: str, line: int, column: int, offset: int) -> None:
    assert source_position.offset_of(text, line, column) == offset


@pytest.mark.parametrize("text", ["ab\ncd\n", "a\r\nb", "a\rb\r", "", "a\x0cb\n"])
def test_line_and_column_are_the_inverse_of_the_offset(text: str) -> None:
    for offset in range(len(text) + 1):
        if text[offset - 1 : offset + 1] != "\r\n":  # no cursor stands inside a line end
            assert source_position.offset_of(text, *source_position.line_and_column(text, offset)) == offset


def test_form_feed_does_not_end_a_line() -> None:
    assert source_position.offset_of("a\x0cb\u2028c\nd", 2, 1) == 6


@pytest.mark.parametrize(("line", "column"), [(0, 1), (4, 1), (1, 0), (1, 4)])
def test_position_outside_the_text_is_an_error(line: int, column: int) -> None:
    with pytest.raises(DocumentOutOfSync, match="has"):
        source_position.offset_of("ab\ncd\n", line, column)


@pytest.mark.parametrize("position", ["a.py", "a.py:1", "a.py:x:1", ":1:1", "a.py:1:-1", "a.py:²:1"])
def test_malformed_position_is_an_error_with_an_example(position: str) -> None:
    with pytest.raises(SettingsError, match="FILE:LINE:COL"):
        source_position.read_cursor(position)


def test_line_ends_of_the_file_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "a:b.py"
    file.write_bytes(b"x\r\ny\r\n")
    cursor = source_position.read_cursor(f"{file}:2:2")
    assert cursor.text == "x\r\ny\r\n"
    assert cursor.offset == 4


def test_binary_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="UTF-8"):
        source_position.read_cursor(f"{file}:1:1")


def test_suggestion_is_rendered_at_the_cursor_in_italics() -> None:
    rendered = source_position.render_suggestion(Cursor("a = 1\nb = \nc = 3\n", 10), "2")
    assert rendered.plain.startswith("a = 1\nb = 2\nc = 3")
    ghost = next(span for span in rendered.spans if "italic" in str(span.style))
    assert rendered.plain[ghost.start : ghost.end] == "2"


def test_excluded_file_is_an_error_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1")
    with pytest.raises(DocumentExcluded, match="looks like a secret"):
        source_position.read_cursor(f"{tmp_path / '.env'}:1:1")
    assert source_position.read_cursor(f"{tmp_path / '.env'}:1:1", ["!.env"]).text == "A=1"


def test_bom_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes("\ufeffx = 1\ny = 2\n".encode())
    cursor = source_position.read_cursor(f"{file}:1:3")
    assert (cursor.text, cursor.offset) == ("x = 1\ny = 2\n", 2)


def test_fifo_and_device_are_errors_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    for name in ("fifo.py", "zero.py"):
        with pytest.raises(SettingsError, match="not a regular file"):
            source_position.read_cursor(f"{tmp_path / name}:1:1")


def test_name_that_no_file_can_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DocumentExcluded, match="not valid"):
        source_position.read_cursor(f"{tmp_path}/a\0b.py:1:1")
