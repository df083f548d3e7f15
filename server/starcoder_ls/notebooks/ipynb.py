"""Reads the cells of a notebook file (``.ipynb``): the Jupyter notebook format 4, and the older one with worksheets.

Decides what is a notebook: JSON in UTF-8 with a list of cells. What is not in the form of the format is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from starcoder_ls.notebooks.cells import Cell, CellKind
from starcoder_ls.notebooks.outputs import join_lines, output_text
from starcoder_ls.notebooks.script import script_of

SUFFIX = ".ipynb"

_MAX_CELLS, _MAX_LANGUAGE_CHARS = 10_000, 40
_DEFAULT_LANGUAGE = "python"


@dataclass(frozen=True, slots=True)
class Notebook:
    """``language`` is the id of its kernel's language."""

    cells: tuple[Cell, ...]
    language: str


def is_notebook(path: str) -> bool:
    """Whether a file of this name is a notebook."""
    return path.lower().endswith(SUFFIX)


def parse_notebook(content: bytes) -> Notebook | None:
    """The notebook in the content of a file; None if it is none. The caller limits the length of ``content``."""
    try:
        raw = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, Mapping):
        return None
    language = _language(raw.get("metadata"))
    cells = tuple(_cell(cell, language, len(content)) for cell in _raw_cells(raw))
    return Notebook(cells, language) if cells else None


def script_of_notebook(content: bytes) -> tuple[str, str] | None:
    """The notebook as one text in its language, and that language; None if there is no such text."""
    notebook = parse_notebook(content)
    if notebook is None:
        return None
    text = script_of(notebook.cells, notebook.language).text
    return (text, notebook.language) if text else None


def _raw_cells(raw: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The cells; format 3 has them in worksheets."""
    sheets = raw.get("worksheets")
    holders = [raw, *sheets] if isinstance(sheets, list) else [raw]
    count = 0
    for holder in holders:
        cells = holder.get("cells") if isinstance(holder, Mapping) else None
        for cell in cells if isinstance(cells, list) else ():
            if isinstance(cell, Mapping) and count < _MAX_CELLS:
                count += 1
                yield cell


def _cell(raw: Mapping[str, object], language: str, max_chars: int) -> Cell:
    text = join_lines(raw.get("source", raw.get("input")), max_chars).replace("\r\n", "\n").replace("\r", "\n")
    if raw.get("cell_type") != "code":
        return Cell(CellKind.MARKDOWN, text, "markdown")
    return Cell(CellKind.CODE, text, language, output_text(raw.get("outputs")))


def _language(metadata: object) -> str:
    """The language that the metadata names: of the kernel that ran it last, or of the kernel's description."""
    if isinstance(metadata, Mapping):
        for section, key in (("language_info", "name"), ("kernelspec", "language")):
            found = metadata.get(section)
            name = found.get(key) if isinstance(found, Mapping) else None
            if isinstance(name, str) and 0 < len(name) <= _MAX_LANGUAGE_CHARS:
                return name.lower()
    return _DEFAULT_LANGUAGE
