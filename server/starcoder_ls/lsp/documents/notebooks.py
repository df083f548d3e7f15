"""The notebooks that one client has open: which documents are their cells, and in which order.

The cells' texts are documents like others (``store``), so their limits count cells. A cell whose document is not open
is not kept, nor is any of its output beyond that of MAX_OUTPUT_BYTES.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from starcoder_ls.errors import DocumentNotOpen
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.notebooks.cells import CellKind

MAX_OUTPUT_BYTES = 8 * 1024 * 1024
"""Of the outputs of all cells of a client, which are at most 4 KB each. Those of further cells are left out."""


@dataclass(frozen=True, slots=True)
class NotebookCell:
    """``uri`` is that of its document, ``output`` the beginning of the text that it has written."""

    uri: str
    kind: CellKind
    output: str = ""


@dataclass(slots=True)
class Notebook:
    """``version`` is the client's; ``changes`` counts the changes of its cells, without those of their texts."""

    uri: str
    notebook_type: str
    version: int
    cells: list[NotebookCell] = field(default_factory=list)
    changes: int = 0


class Notebooks:
    """By URI. Cells are documents of ``documents``: open these first, close them afterwards."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._by_uri: dict[str, Notebook] = {}
        self._output_bytes = 0

    def __iter__(self) -> Iterator[Notebook]:
        return iter(list(self._by_uri.values()))

    def open(self, uri: str, notebook_type: str, version: int, cells: Iterable[NotebookCell]) -> Notebook:
        """Open a notebook, or replace the cells of an open one."""
        self.close(uri)
        notebook = self._by_uri[uri] = Notebook(uri, notebook_type, version)
        self._splice(notebook, 0, 0, cells)
        return notebook

    def close(self, uri: str) -> list[str]:
        """Forget a notebook. The URIs of its cells; none if it is not open."""
        notebook = self._by_uri.pop(uri, None)
        if notebook is None:
            return []
        for cell in notebook.cells:
            self._count_output(cell, -1)
        return [cell.uri for cell in notebook.cells]

    def close_all(self) -> None:
        """The client is gone."""
        self._by_uri.clear()
        self._output_bytes = 0

    def get(self, uri: str) -> Notebook:
        """Raises DocumentNotOpen."""
        notebook = self._by_uri.get(uri)
        if notebook is None:
            raise DocumentNotOpen(f"The notebook {uri} is not open. Open it again.")
        return notebook

    def find(self, uri: str) -> Notebook | None:
        return self._by_uri.get(uri)

    def splice(self, uri: str, start: int, delete_count: int, cells: Iterable[NotebookCell]) -> None:
        """``cells`` replace ``delete_count`` cells from ``start`` on. Raises DocumentNotOpen.

        Numbers that are too large mean the end, as in JavaScript's ``splice``, which the specification refers to.
        """
        self._splice(self.get(uri), start, delete_count, cells)

    def set_cells(self, uri: str, cells: Iterable[NotebookCell]) -> None:
        """Kind and output of these cells have changed. Raises DocumentNotOpen."""
        notebook = self.get(uri)
        changed = {cell.uri: cell for cell in cells}
        for index, cell in enumerate(notebook.cells):
            if (new := changed.get(cell.uri)) is not None:
                self._count_output(cell, -1)
                notebook.cells[index] = self._limited(new)
        notebook.changes += 1

    def _splice(self, notebook: Notebook, start: int, delete_count: int, cells: Iterable[NotebookCell]) -> None:
        removed = notebook.cells[start : start + delete_count]
        for cell in removed:
            self._count_output(cell, -1)
        known = {cell.uri for cell in notebook.cells} - {cell.uri for cell in removed}
        added: list[NotebookCell] = []
        for cell in cells:
            if cell.uri not in known and cell.uri in self._documents:
                known.add(cell.uri)
                added.append(self._limited(cell))
        notebook.cells[start : start + delete_count] = added
        notebook.changes += 1

    def _limited(self, cell: NotebookCell) -> NotebookCell:
        """``cell``, whose output is counted now, or without an output that is too much."""
        if self._output_bytes + sys.getsizeof(cell.output) > MAX_OUTPUT_BYTES:
            cell = NotebookCell(cell.uri, cell.kind)
        self._count_output(cell, 1)
        return cell

    def _count_output(self, cell: NotebookCell, sign: int) -> None:
        if cell.output:
            self._output_bytes += sign * sys.getsizeof(cell.output)
