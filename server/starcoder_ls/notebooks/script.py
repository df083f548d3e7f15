"""Cells as one text in the language of the cell that they surround: what a model without marks for cells reads.

Decides what is code there. Cells in that language stand as they are, with magics commented out; all other text is
commented out. Around a markdown cell, code stands in fences. The syntax rules read the same text for every model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starcoder_ls.languages.table import by_id, normalize_id
from starcoder_ls.notebooks.cells import Cell, CellKind, NotebookView, Script, ScriptCell
from starcoder_ls.notebooks.magics import comment_magics, language_of_cell

MAX_ABOVE_CHARS, MAX_BELOW_CHARS = 128 * 1024, 64 * 1024
"""Of a notebook around a cell. Cells that are further away, or the far part of a long one, are left out."""

_SEPARATOR = "\n\n"
_MIN_CUT_CHARS = 256


def build_view(above: Sequence[Cell], below: Iterable[Cell], cell: Cell) -> NotebookView:
    """What surrounds ``cell``, within the limits; reads no more of the other cells than these."""
    language = language_of_cell(cell.text, cell.language) if cell.kind is CellKind.CODE else "markdown"
    nearest_first = _take(reversed(above), MAX_ABOVE_CHARS, from_end=True)
    return NotebookView(
        script_of(reversed(nearest_first), language),
        _below(script_of(_take(below, MAX_BELOW_CHARS, from_end=False), language)),
        cell.kind,
    )


def script_of(cells: Iterable[Cell], language: str) -> Script:
    """``cells`` as one text in ``language``, each followed by an empty line; cells without text are left out."""
    parts: list[str] = []
    found: list[ScriptCell] = []
    length = 0
    for cell in cells:
        if not cell.text.strip():
            continue
        text = _cell_text(cell, language).strip("\n")
        found.append(ScriptCell(cell, length, length + len(text)))
        parts += text, _SEPARATOR
        length += len(text) + len(_SEPARATOR)
    return Script("".join(parts), tuple(found))


def _below(script: Script) -> Script:
    """``script`` with the empty line before it instead of after it."""
    shift = len(_SEPARATOR)
    cells = tuple(ScriptCell(each.cell, each.start + shift, each.end + shift) for each in script.cells)
    return Script(_SEPARATOR + script.text.removesuffix("\n"), cells) if cells else Script()


def _take(cells: Iterable[Cell], max_chars: int, from_end: bool) -> list[Cell]:
    """The first of ``cells`` that fit; of the next one the end or the beginning, in whole lines."""
    taken: list[Cell] = []
    for cell in cells:
        if len(cell.text) > max_chars:
            if max_chars >= _MIN_CUT_CHARS:
                taken.append(Cell(cell.kind, _cut(cell.text, max_chars, from_end), cell.language, cell.output))
            break
        taken.append(cell)
        max_chars -= len(cell.text) + len(_SEPARATOR)
    return taken


def _cut(text: str, max_chars: int, from_end: bool) -> str:
    if from_end:
        return text[-max_chars:].partition("\n")[2] or text[-max_chars:]
    return text[:max_chars].rpartition("\n")[0] or text[:max_chars]


def _cell_text(cell: Cell, language: str) -> str:
    own = language_of_cell(cell.text, cell.language) if cell.kind is CellKind.CODE else "markdown"
    if normalize_id(language) == "markdown":
        return cell.text if own == "markdown" else f"```{own}\n{cell.text}\n```"
    if cell.kind is CellKind.CODE and normalize_id(own) == normalize_id(language):
        return comment_magics(cell.text) if normalize_id(language) == "python" else cell.text
    begin, end = by_id(language).comment_marks
    return "\n".join(f"{begin}{line}{end}".rstrip() if line.strip() else "" for line in cell.text.split("\n"))
