"""The cursor in a cell of a notebook file: ``FILE.ipynb:CELL:LINE:COL``.

Decides how cells are numbered: from 1 in the order of the file, text cells among them, as editors count them. The
numbers in brackets are those of runs, which change.
"""

from __future__ import annotations

import re

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.errors import DocumentOutOfSync, SettingsError
from starcoder_ls.notebooks.cells import CellKind
from starcoder_ls.notebooks.ipynb import SUFFIX, is_notebook, parse_notebook
from starcoder_ls.notebooks.magics import language_of_cell
from starcoder_ls.notebooks.script import build_view

_CELL = re.compile(rf"(?P<file>.+{re.escape(SUFFIX)}):(?P<cell>[0-9]+)", re.IGNORECASE | re.DOTALL)


def split_cell(file: str) -> tuple[str, int | None]:
    """The name of a file and the number of a cell; None for a file that is no notebook.

    Raises SettingsError for a notebook without a cell.
    """
    if found := _CELL.fullmatch(file):
        return found["file"], int(found["cell"])
    if is_notebook(file):
        raise SettingsError(
            f"The position in {file} names no cell. Write {file}:CELL:LINE:COL: the cell counted from 1 with the text "
            "cells, then line and column in it."
        )
    return file, None


def cell_cursor(file: str, content: str, number: int) -> Cursor:
    """The cursor at the start of a cell of the notebook whose file has this ``content``.

    Raises SettingsError if that is no notebook, DocumentOutOfSync if it has no such cell.
    """
    notebook = parse_notebook(content.encode())
    if notebook is None:
        raise SettingsError(f"{file} is no notebook with cells. Name a file in the Jupyter notebook format 3 or 4.")
    cells = notebook.cells
    if not 1 <= number <= len(cells):
        raise DocumentOutOfSync(f"There is no cell {number}: the notebook has {len(cells)}, text cells among them.")
    cell = cells[number - 1]
    language = language_of_cell(cell.text, cell.language) if cell.kind is CellKind.CODE else cell.language
    view = build_view(cells[: number - 1], cells[number:], cell)
    return Cursor(cell.text, 0, language, file, document=f"{file}:{number}", notebook=view)
