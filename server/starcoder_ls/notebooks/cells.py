"""The cells of a notebook, and those around one cell as one text in the language of that cell."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CellKind(enum.Enum):
    """``MARKDOWN`` stands for all text that is not run, also for raw cells."""

    MARKDOWN = enum.auto()
    CODE = enum.auto()


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell with line feeds. ``output`` is the text that it has written, empty if there is none.

    ``language`` is an editor's language id.
    """

    kind: CellKind
    text: str
    language: str = ""
    output: str = ""


@dataclass(frozen=True, slots=True)
class ScriptCell:
    """A cell, and where its text begins and ends in the script that it is part of."""

    cell: Cell
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Script:
    """Cells as one text in one language: what is not code in it is commented out."""

    text: str = ""
    cells: tuple[ScriptCell, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class NotebookView:
    """What surrounds one cell: the cells above it and below it, in order. Compared by identity.

    ``kind`` is that of the cell itself.
    """

    above: Script = Script()
    below: Script = Script()
    kind: CellKind = CellKind.CODE

    def embed(self, text: str) -> str:
        """``text``, which is that of the cell, between the cells around it."""
        return f"{self.above.text}{text}{self.below.text}"
