"""What surrounds a cell of a notebook that is being completed, as the prompt and the rules of completion see it.

Decides when that is read again: when another cell of the notebook has changed, not while the user types in the cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starcoder_ls.completion.anchor import normalize_line_ends
from starcoder_ls.lsp.documents.applied_edit import AppliedEdit
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.documents.notebooks import Notebook, NotebookCell, Notebooks
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.notebooks.cells import Cell, CellKind, NotebookView
from starcoder_ls.notebooks.magics import language_of_cell
from starcoder_ls.notebooks.script import MAX_ABOVE_CHARS, MAX_BELOW_CHARS, build_view

_MAX_VIEWS = 4
"""Of notebooks, at most 200 KB of text each. A user types in one of them."""


@dataclass(frozen=True, slots=True)
class _KnownView:
    """The view of the cell ``uri`` in ``language``, while the notebook has had so many ``changes``."""

    uri: str
    language: str
    changes: int
    view: NotebookView


class NotebookViews:
    """Of one client: one view for each notebook, that of the cell which was completed last."""

    def __init__(self, documents: Documents, notebooks: Notebooks) -> None:
        self._documents, self._notebooks = documents, notebooks
        self._known: dict[str, _KnownView] = {}  # by the URI of the notebook, the most recently made last
        documents.edit_listeners.append(self._on_edit)

    def view(self, document: Document) -> NotebookView | None:
        """What surrounds ``document``; None if it is not a cell of an open notebook."""
        if not document.notebook or (notebook := self._notebooks.find(document.notebook)) is None:
            return None
        language = language_of_cell(document.text, document.language)
        known = self._known.get(notebook.uri)
        if known is not None and (known.uri, known.language, known.changes) == (
            document.uri, language, notebook.changes,
        ):  # fmt: skip
            return known.view
        view = self._build(notebook, document)
        if view is not None:
            self._known.pop(notebook.uri, None)
            self._known[notebook.uri] = _KnownView(document.uri, language, notebook.changes, view)
            if len(self._known) > _MAX_VIEWS:
                del self._known[next(iter(self._known))]
        return view

    def embed(self, document: Document, text: str, offset: int) -> tuple[str, int]:
        """``text`` of ``document`` and an offset in it, as ``Cursor.whole_text`` and ``whole_offset`` are."""
        view = self.view(document)
        return (text, offset) if view is None else (view.embed(text), len(view.above.text) + offset)

    def close(self) -> None:
        """The client is gone."""
        self._known.clear()

    def _on_edit(self, uri: str, _edit: AppliedEdit | None) -> None:
        for notebook_uri, known in list(self._known.items()):
            is_of_notebook = uri in self._documents and self._documents.get(uri).notebook == notebook_uri
            if is_of_notebook and known.uri != uri:
                del self._known[notebook_uri]

    def _build(self, notebook: Notebook, document: Document) -> NotebookView | None:
        index = next((at for at, cell in enumerate(notebook.cells) if cell.uri == document.uri), None)
        if index is None:
            return None
        above = list(self._nearest(reversed(notebook.cells[:index]), MAX_ABOVE_CHARS))[::-1]
        below = self._nearest(iter(notebook.cells[index + 1 :]), MAX_BELOW_CHARS)
        return build_view(above, below, self._cell(notebook.cells[index], document))

    def _nearest(self, cells: Iterable[NotebookCell], max_chars: int) -> Iterator[Cell]:
        """``cells`` with their texts, until these have ``max_chars`` characters; without those out of sync."""
        for cell in cells:
            if max_chars <= 0:
                return
            if cell.uri in self._documents and (document := self._documents.get(cell.uri)).is_in_sync:
                max_chars -= len(document.text)
                yield self._cell(cell, document)

    def _cell(self, cell: NotebookCell, document: Document) -> Cell:
        kind = CellKind.MARKDOWN if document.language in ("raw", "markdown") else cell.kind
        return Cell(kind, normalize_line_ends(document.text), document.language, cell.output)
