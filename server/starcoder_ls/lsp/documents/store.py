"""Every document that one client has open.

Decides what a message about an unknown document means: nothing, or its beginning if it brings the whole text.
Refuses to read files: what the editor has not sent is not here.
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
        """Why the document of this URI and path must not be read for a model, or None."""
        self._by_uri: dict[str, Document] = {}

    def __len__(self) -> int:
        return len(self._by_uri)

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._by_uri.values()))

    def open(self, uri: str, language: str, version: int, text: str) -> None:
        """Opening twice replaces the text: it is how an editor puts a lost document right."""
        self._by_uri[uri] = Document(uri, language, version, text, self.encoding)

    def opened(self, uri: str) -> Document:
        """Whatever may be done with it. Raises DocumentNotOpen."""
        document = self._by_uri.get(uri)
        if document is None:
            raise DocumentNotOpen(f"{uri} is not open. Open the file first.")
        return document

    def change(self, uri: str, version: int, edits: list[Edit]) -> None:
        """Raises DocumentNotOpen, DocumentOutOfSync."""
        document = self._by_uri.get(uri)
        if document is None:
            if not edits or edits[0].start is not None:
                raise DocumentNotOpen(f"{uri} changed but was never opened. Open the file again.")
            document = self._by_uri[uri] = Document(uri, "", version - 1, edits[0].text, self.encoding)
        document.change(version, edits)

    def close(self, uri: str) -> None:
        self._by_uri.pop(uri, None)

    def lose(self, uri: str | None) -> list[str]:
        """An edit could not be read: that document (None: each of them) is unknown until sent whole. Which they are."""
        lost = [document for document in self._by_uri.values() if uri in (None, document.uri)]
        for document in lost:
            document.lose("A change could not be read.")
        return [document.uri for document in lost]

    def readable(self, uri: str) -> Document:
        """For a model: the one gate that every text passes. Raises DocumentNotOpen, -OutOfSync, -Excluded."""
        document = self.opened(uri)
        document.require_sync()
        if reason := self.exclusion(uri, document.path):
            raise DocumentExcluded(
                f"This file is kept from the model: {reason}. To let it in, add `!` and its path to `context.ignore`."
            )
        return document

    def is_still(self, document: Document, text: str) -> bool:
        """Whether ``document`` is the open one and reads ``text``: what was said about it is still right."""
        return self._by_uri.get(document.uri) is document and document.is_in_sync and document.text == text
