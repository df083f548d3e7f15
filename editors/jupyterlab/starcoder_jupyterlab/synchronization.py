"""Notebooks and files as the language server knows them, and the notifications that bring it up to date.

A page sends cells; the difference to what the server knows becomes one notification with the smallest edit of each
cell, so that the server can tell what was typed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Notification = tuple[str, dict[str, Any]]
"""Method and params."""

_MARKUP, _CODE = 1, 2  # NotebookCellKind
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a notebook; a file has a single one."""

    id: str
    language: str
    is_code: bool
    text: str
    output: str = ""
    """The beginning of the text that it has written."""


class Notebook:
    """A notebook with the cells that the page shows, and those that the server knows."""

    def __init__(self, uri: str, cell_uri: str) -> None:
        self.uri = uri
        self._cell_uri = cell_uri
        self.cells: dict[str, Cell] = {}
        """By URI, in order."""
        self._known: dict[str, Cell] | None = None
        self._version = 0

    def set_cells(self, cells: Sequence[Cell]) -> None:
        """A cell of another language is another document: its URI differs."""
        self.cells = {f"{self._cell_uri}#{cell.id}.{cell.language}": cell for cell in cells}

    def changes(self) -> list[Notification]:
        """What the server must be told; it then knows ``cells``."""
        known, self._known = self._known, dict(self.cells)
        if known is not None and list(known.items()) == list(self.cells.items()):
            return []
        self._version += 1
        notebook = {"uri": self.uri, "version": self._version}
        if known is None:
            cells = [_notebook_cell(uri, cell) for uri, cell in self.cells.items()]
            opened = {**notebook, "notebookType": "jupyter-notebook", "cells": cells}
            return [("notebookDocument/didOpen", {"notebookDocument": opened, "cellTextDocuments": self._items()})]
        change: dict[str, Any] = {}
        if list(known) != list(self.cells):
            change["structure"] = self._structure(known)
        edited = [uri for uri, cell in self.cells.items() if uri in known and known[uri].text != cell.text]
        written = [uri for uri, cell in self.cells.items() if uri in known and known[uri].output != cell.output]
        if written:
            change["data"] = [_notebook_cell(uri, self.cells[uri]) for uri in written]
        if edited:
            change["textContent"] = [
                {
                    "document": {"uri": uri, "version": self._version},
                    "changes": [text_change(known[uri].text, self.cells[uri].text)],
                }
                for uri in edited
            ]
        return [("notebookDocument/didChange", {"notebookDocument": notebook, "change": {"cells": change}})]

    def close(self) -> list[Notification]:
        if self._known is None:
            return []
        cells = [{"uri": uri} for uri in self._known]
        params = {"notebookDocument": {"uri": self.uri}, "cellTextDocuments": cells}
        self._known = None
        return [("notebookDocument/didClose", params)]

    def forget(self) -> None:
        """A new server knows nothing of the notebook."""
        self._known = None

    def _items(self) -> list[dict[str, Any]]:
        return [_text_document(uri, cell, self._version) for uri, cell in self.cells.items()]

    def _structure(self, known: dict[str, Cell]) -> dict[str, Any]:
        before, after = list(known), list(self.cells)
        start = common_prefix(before, after)
        kept = common_suffix(before[start:], after[start:])
        removed, added = before[start : len(before) - kept], after[start : len(after) - kept]
        return {
            "array": {
                "start": start,
                "deleteCount": len(removed),
                "cells": [_notebook_cell(uri, self.cells[uri]) for uri in added],
            },
            "didOpen": [_text_document(uri, self.cells[uri], self._version) for uri in added if uri not in known],
            "didClose": [{"uri": uri} for uri in removed if uri not in self.cells],
        }


class TextFile:
    """A file in the file editor, with the interface of ``Notebook``; it has one cell."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.cells: dict[str, Cell] = {}
        self._known: Cell | None = None
        self._version = 0

    def set_cells(self, cells: Sequence[Cell]) -> None:
        self.cells = {self.uri: cells[0]}

    def changes(self) -> list[Notification]:
        known, cell = self._known, self.cells[self.uri]
        self._known = cell
        if known == cell:
            return []
        self._version += 1
        if known is None or known.language != cell.language:
            opened = ("textDocument/didOpen", {"textDocument": _text_document(self.uri, cell, self._version)})
            return [opened] if known is None else [("textDocument/didClose", self._identifier()), opened]
        document = {"uri": self.uri, "version": self._version}
        edits = [text_change(known.text, cell.text)]
        return [("textDocument/didChange", {"textDocument": document, "contentChanges": edits})]

    def close(self) -> list[Notification]:
        known, self._known = self._known, None
        return [] if known is None else [("textDocument/didClose", self._identifier())]

    def forget(self) -> None:
        self._known = None

    def _identifier(self) -> dict[str, Any]:
        return {"textDocument": {"uri": self.uri}}


def _notebook_cell(uri: str, cell: Cell) -> dict[str, Any]:
    """LSP has no outputs: starcoder-ls reads them in the metadata, in the form of the notebook file format."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": cell.output}] if cell.output else []
    return {"kind": _CODE if cell.is_code else _MARKUP, "document": uri, "metadata": {"outputs": outputs}}


def _text_document(uri: str, cell: Cell, version: int) -> dict[str, Any]:
    return {"uri": uri, "languageId": cell.language, "version": version, "text": cell.text}


def position(text: str, offset: int) -> dict[str, int]:
    """The position of ``offset``, in Unicode code points: LSP's ``utf-32``."""
    starts = [end.end() for end in _LINE_END.finditer(text, 0, offset)]
    return {"line": len(starts), "character": offset - (starts[-1] if starts else 0)}


def text_change(before: str, after: str) -> dict[str, Any]:
    """The smallest edit, as LSP has it; the whole text if an edit might divide CR from LF."""
    if "\r" in before or "\r" in after:
        return {"text": after}
    start = common_prefix(before, after)
    kept = common_suffix(before[start:], after[start:])
    end = len(before) - kept
    edited = {"start": position(before, start), "end": position(before, end)}
    return {"range": edited, "text": after[start : len(after) - kept]}


def common_prefix(before: Sequence[str], after: Sequence[str]) -> int:
    """The length of the part with which both begin, by bisection: slices are compared in C."""
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        if before[low:middle] == after[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(before: Sequence[str], after: Sequence[str]) -> int:
    """The length of the part with which both end."""
    low, high = 0, min(len(before), len(after))
    while low < high:
        middle = (low + high + 1) // 2
        if before[len(before) - middle : len(before) - low] == after[len(after) - middle : len(after) - low]:
            low = middle
        else:
            high = middle - 1
    return low
