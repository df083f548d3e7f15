"""The open notebooks of a window, as the messages that a new daemon needs to know them, and which documents are cells.

Decides that a cell is known by its own URI to the quarantine, while its text is replayed with its notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starcoder_ls.daemon import message
from starcoder_ls.daemon.message import Message
from starcoder_ls.daemon.replayed_documents import ReplayedDocuments

NOTEBOOK_METHOD = "starcoder/notebook"
"""The request to the daemon for a notebook as it is."""

PREFIX = "notebookDocument/did"
MAX_CELLS = 20_000
"""Of a window, whose URIs are kept; more than a client can have documents open."""


class ReplayedNotebooks:
    """By URI. Not thread-safe: the owner holds a lock."""

    def __init__(self) -> None:
        self._notebooks = ReplayedDocuments(_did_open)
        self._notebook_of: dict[str, str] = {}  # by the URI of the cell

    @property
    def uris(self) -> list[str]:
        """Of the notebooks and of their cells."""
        return [*self._notebooks.uris, *self._notebook_of]

    def record(self, sent: Message) -> str | None:
        """Record a notification whose method begins with PREFIX. The notebook to request from the daemon, or None."""
        identifier = sent.params.get("notebookDocument")
        if not isinstance(identifier, dict):
            return None
        uri, texts = str(identifier.get("uri")), sent.params.get("cellTextDocuments")
        if sent.method == f"{PREFIX}Open":
            self.remove(uri)
            self._notebooks.add(uri, sent.body)
            self._add_cells(uri, _uris(texts))
        elif sent.method == f"{PREFIX}Close":
            self.remove(uri)
        elif sent.method == f"{PREFIX}Change":
            structure = _member(_member(sent.params.get("change"), "cells"), "structure")
            for cell in _uris(_member(structure, "didClose")):
                self._notebook_of.pop(cell, None)
            self._add_cells(uri, _uris(_member(structure, "didOpen")))
            return uri if self._notebooks.change(uri, sent.body) else None
        return None

    def remove(self, uri: str) -> None:
        """Do not replay the notebook. Of a cell, nothing changes: its text is replayed with the others."""
        self._notebooks.remove(uri)
        self._notebook_of = {cell: notebook for cell, notebook in self._notebook_of.items() if notebook != uri}

    def set_notebook(self, uri: str, result: Any) -> None:
        """``result`` is the notebook after the changes so far, or None if the daemon does not know it."""
        self._notebooks.set_text(uri, result)

    def replay(self) -> list[bytes]:
        """The bodies for a new daemon."""
        return self._notebooks.replay()

    def _add_cells(self, uri: str, cells: Iterable[str]) -> None:
        if uri in self._notebooks.uris:
            for cell in cells:
                if len(self._notebook_of) < MAX_CELLS:
                    self._notebook_of[cell] = uri


def cell_uris(sent: Message) -> list[str]:
    """The cells that a message opens or closes with their notebook."""
    return list(_uris(sent.params.get("cellTextDocuments")))


def _uris(documents: object) -> Iterable[str]:
    for document in documents if isinstance(documents, list) else ():
        if isinstance(uri := _member(document, "uri"), str):
            yield uri


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _did_open(notebook: Any) -> bytes:
    return message.encode(method=f"{PREFIX}Open", params=notebook)
