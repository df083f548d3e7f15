"""``FILE:LINE:COL`` to a cursor, and a cursor to the lines around it as an editor shows them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.context.ignore_rules import IgnoreRules, find_repository
from starcoder_ls.errors import DocumentExcluded, DocumentOutOfSync, SettingsError

_SHOWN_LINES = 6
_LINE_STARTS = re.compile(r"(?<=\r\n)|(?<=\n)|(?<=\r)(?!\n)")  # as editors do: a form feed ends no line


def require_allowed(file: str, ignored: Sequence[str] = ()) -> None:
    """Raises DocumentExcluded for a file that no model may see, by the rules of its repository and ``ignored``."""
    path = Path(os.path.abspath(file))
    if reason := IgnoreRules((find_repository(path.parent),), ignored).exclusion_reason(path):
        raise DocumentExcluded(f"{file} is kept from the model: {reason}. To ask all the same, pipe it in as `-`.")


def cursor_at(place: str, ignored: Sequence[str] = ()) -> Cursor:
    """The cursor of a 1-based ``FILE:LINE:COL``; ``-`` as FILE is standard input.

    Raises SettingsError for a malformed place or an unreadable file, DocumentExcluded for one that no model may see,
    DocumentOutOfSync for a place outside the text.
    """
    file, line, column = _parsed(place)
    if file != "-":
        require_allowed(file, ignored)
    text = _decoded(sys.stdin.buffer.read(), "Standard input") if file == "-" else _read(Path(file))
    return Cursor(text, offset_of(text, line, column), path="" if file == "-" else file, document=file)


def offset_of(text: str, line: int, column: int) -> int:
    """1-based line and column (in characters) to an offset."""
    lines = _LINE_STARTS.split(text)
    if not 1 <= line <= len(lines):
        raise DocumentOutOfSync(f"There is no line {line}: the text has {len(lines)}.")
    width = len(lines[line - 1].rstrip("\r\n"))
    if not 1 <= column <= width + 1:
        raise DocumentOutOfSync(f"Line {line} has columns 1 to {width + 1}, not {column}.")
    return sum(map(len, lines[: line - 1])) + column - 1


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """The reverse of ``offset_of``."""
    lines = _LINE_STARTS.split(text[:offset])
    return len(lines), len(lines[-1]) + 1


def render_suggestion(cursor: Cursor, suggestion: str) -> Text:
    """The lines around the cursor with the suggestion in dim italics, as an editor shows ghost text."""
    before = cursor.text[: cursor.offset].split("\n")[-_SHOWN_LINES:]
    after = cursor.text[cursor.offset :].split("\n")[:3]
    ghost = Text("\n".join(before))
    ghost.append(suggestion or "∅", style="dim italic cyan")
    return ghost.append("\n".join(after))


def _parsed(place: str) -> tuple[str, int, int]:
    file, _, rest = place.rpartition(":")
    file, _, line = file.rpartition(":")
    if not file or not all(number.isascii() and number.isdigit() for number in (line, rest)):
        raise SettingsError(
            f"{place!r} is not FILE:LINE:COL. Write for example src/app.py:12:5, lines and columns from 1."
        )
    return file, int(line), int(rest)


def _read(file: Path) -> str:
    try:
        return _decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name} is not UTF-8 text.") from error
