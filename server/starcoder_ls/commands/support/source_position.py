"""The position argument ``FILE:LINE:COL`` or ``FILE.ipynb:CELL:LINE:COL``: reading its cursor, and rendering a
suggestion at a cursor.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from starcoder_ls.commands.support.notebook_position import cell_cursor, split_cell
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.context.file_reader import MAX_DOCUMENT_BYTES, decode_text, read_file, read_stream
from starcoder_ls.context.ignore_files import find_repository
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.errors import DocumentExcluded, DocumentOutOfSync, SettingsError
from starcoder_ls.languages.table import by_path

_LINES_BEFORE, _LINES_AFTER = 6, 3
_LINE_STARTS = re.compile(r"(?<=\r\n)|(?<=\n)|(?<=\r)(?!\n)")  # as in editors, a form feed ends no line


def require_allowed(file: str, ignored: Sequence[str] = ()) -> None:
    """Raises DocumentExcluded if no model may see the file, by the ignore files of its repository or ``ignored``."""
    path = Path(os.path.abspath(file))
    if reason := IgnoreRules((find_repository(path.parent),), ignored).exclusion_reason(path):
        raise DocumentExcluded(f"{file} is kept from the model: {reason}. To use it nevertheless, pipe it in as `-`.")


def read_cursor(position: str, ignored: Sequence[str] = ()) -> Cursor:
    """The cursor at ``FILE:LINE:COL``, counted from 1. The language is that of FILE's name; ``-`` is standard input.

    Before the line, a notebook has the number of a cell. Raises SettingsError for another format or an unreadable file,
    DocumentExcluded for a file that no model may see, DocumentOutOfSync for a position outside the text.
    """
    file, line, column = _parse(position)
    file, cell = split_cell(file)
    if file != "-":
        require_allowed(file, ignored)
    text = _read(file)
    whole = Cursor(text, 0, by_path(file).id, document=file)
    cursor = whole if cell is None else cell_cursor(file, text, cell)
    cursor = replace(cursor, offset=offset_of(cursor.text, line, column))
    if file == "-":
        return cursor
    path = Path(os.path.abspath(file))
    return replace(cursor, path=str(path), folder=str(find_repository(path.parent)))


def offset_of(text: str, line: int, column: int) -> int:
    """The offset of a line and a column, both from 1; columns count characters. Raises DocumentOutOfSync."""
    lines = _LINE_STARTS.split(text)
    if not 1 <= line <= len(lines):
        raise DocumentOutOfSync(f"There is no line {line}: the text has {len(lines)}.")
    width = len(lines[line - 1].rstrip("\r\n"))
    if not 1 <= column <= width + 1:
        raise DocumentOutOfSync(f"Line {line} has columns 1 to {width + 1}, not {column}.")
    return sum(map(len, lines[: line - 1])) + column - 1


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, the inverse of ``offset_of``."""
    lines = _LINE_STARTS.split(text[:offset])
    return len(lines), len(lines[-1]) + 1


def render_suggestion(cursor: Cursor, suggestion: str) -> Text:
    """The lines around the cursor with the suggestion in dim italics, as an editor shows ghost text."""
    before = cursor.text[: cursor.offset].split("\n")[-_LINES_BEFORE:]
    after = cursor.text[cursor.offset :].split("\n")[:_LINES_AFTER]
    ghost = Text("\n".join(before))
    ghost.append(suggestion or "∅", style="dim italic cyan")
    return ghost.append("\n".join(after))


def _parse(position: str) -> tuple[str, int, int]:
    file, _, rest = position.rpartition(":")
    file, _, line = file.rpartition(":")
    if not file or not all(number.isascii() and number.isdigit() for number in (line, rest)):
        raise SettingsError(
            f"{position!r} is not FILE:LINE:COL. Write for example src/app.py:12:5, lines and columns from 1."
        )
    return file, int(line), int(rest)


def read_standard_input() -> bytes:
    """Raises OSError if it is larger than a file may be."""
    return read_stream(sys.stdin.buffer, MAX_DOCUMENT_BYTES)


def _read(file: str) -> str:
    name = "Standard input" if file == "-" else file
    try:
        return decode_text(read_standard_input() if file == "-" else read_file(file, MAX_DOCUMENT_BYTES))
    except FileNotFoundError as error:
        raise SettingsError(f"There is no file {name}. Correct the path.") from error
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {error.strerror}. Name a source file.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name} is not UTF-8 text.") from error
