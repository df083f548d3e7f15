"""The documents that one client has open.

Files are never read: only what the editor sent is here. A change of an unknown document with the whole text opens it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from starcoder_ls.errors import DocumentExcluded, DocumentNotOpen
from starcoder_ls.lsp.documents.document import Document, Edit
from starcoder_ls.lsp.positions import Encoding


class Documents:
    """The open documents of one client, by URI."""

    def __init__(self) -> None:
        self.encoding = Encoding.UTF_16
        self.exclusion: Callable[[str, str], str | None] = lambda _uri, _path: None
        """(URI, path) -> why the document must not reach a model, or None."""
        self._by_uri: dict[str, Document] = {}

    def __len__(self) -> int:
        return len(self._by_uri)

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._by_uri.values()))

    def open(self, uri: str, language: str, version: int, text: str) -> None:
        """Open a document, or replace the text of an open one: editors do so to resynchronize it."""
        self._by_uri[uri] = Document(uri, language, version, text, self.encoding)

    def get(self, uri: str) -> Document:
        """The document, in sync and allowed for the model or not. Raises DocumentNotOpen."""
        document = self._by_uri.get(uri)
        if document is None:
            raise DocumentNotOpen(f"{uri} is not open. Open the file first.")
        return document

    def change(self, uri: str, version: int | None, edits: list[Edit]) -> None:
        """Apply ``edits``; ``version`` is None if the client sent none. Raises DocumentNotOpen, DocumentOutOfSync."""
        document = self._by_uri.get(uri)
        if document is None:
            if not edits or edits[0].start is not None:
                raise DocumentNotOpen(f"{uri} changed but was never opened. Open the file again.")
            before_version = 0 if version is None else version - 1
            document = self._by_uri[uri] = Document(uri, "", before_version, edits[0].text, self.encoding)
        document.change(version, edits)

    def close(self, uri: str) -> None:
        self._by_uri.pop(uri, None)

    def mark_out_of_sync(self, uri: str | None) -> list[str]:
        """An edit of ``uri`` (None: of an unknown document) could not be read. The URIs of the affected documents."""
        affected = [document for document in self._by_uri.values() if uri in (None, document.uri)]
        for document in affected:
            document.mark_out_of_sync("A change could not be read.")
        return [document.uri for document in affected]

    def for_model(self, uri: str) -> Document:
        """The document if a model may read it; every text that reaches a model is requested here.

        Raises DocumentNotOpen, DocumentOutOfSync, DocumentExcluded.
        """
        document = self.get(uri)
        document.require_sync()
        if reason := self.exclusion(uri, document.path):
            raise DocumentExcluded(
                f"This file is excluded: {reason}. To include it, add `!` and its path to `context.ignore`."
            )
        return document

    def is_unchanged(self, document: Document, text: str) -> bool:
        """Whether ``document`` is still open, in sync, and has the text ``text``."""
        return self._by_uri.get(document.uri) is document and document.is_in_sync and document.text == text
