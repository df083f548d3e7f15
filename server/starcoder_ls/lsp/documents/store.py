"""The documents that one client has open.

Files are never read: only what the editor sent is here. A change of an unknown document with the whole text opens it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from starcoder_ls.errors import DocumentExcluded, DocumentNotOpen, DocumentTooLarge
from starcoder_ls.lsp.documents.applied_edit import AppliedEdit, minimal_edit
from starcoder_ls.lsp.documents.document import BYTES_PER_LINE, Document, Edit
from starcoder_ls.lsp.documents.free_memory import FreedMemory
from starcoder_ls.lsp.positions import Encoding

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
MAX_TOTAL_BYTES = 64 * 1024 * 1024
"""Of all documents of a client. The bytes are those in memory: a text with an emoji takes four per character."""

DOCUMENT_BYTES = 4096
"""What Python's objects for a document take beside its text, its URI and its language, also elsewhere in a session."""

_MIB = 1024 * 1024
_TOO_LARGE = "The document is too large for this server."


class Documents:
    """The open documents of one client, by URI."""

    def __init__(self) -> None:
        self.encoding = Encoding.UTF_16
        self.exclusion: Callable[[str, str], str | None] = lambda _uri, _path: None
        """(URI, path) -> why the document must not reach a model, or None."""
        self.edit_listeners: list[Callable[[str, AppliedEdit | None], None]] = []
        """Called with (URI, edit) after each edit of an open document. None: the relation to its earlier text is
        unknown."""
        self._by_uri: dict[str, Document] = {}
        self._freed = FreedMemory()
        self._total_bytes = 0
        self._sizes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_uri)

    def __contains__(self, uri: str) -> bool:
        return uri in self._by_uri

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._by_uri.values()))

    def open(self, uri: str, language: str, version: int, text: str, notebook: str = "") -> None:
        """Open a document, or replace the text of an open one: editors do so to resynchronize it.

        ``notebook`` is the URI of the notebook of which it is a cell.

        Raises DocumentTooLarge; the document is then open, without its text and out of sync. If there is no room for
        another document at all, it is not open.
        """
        previous = self._by_uri.get(uri)
        document = self._add(Document(uri, language, version, "", self.encoding, notebook))
        self._require_room(document, _memory_bytes(text))
        document.replace_text(text)
        if previous is not None:
            self._notify_edit(uri, minimal_edit(previous.text, text) if previous.is_in_sync else None)

    def _add(self, document: Document) -> Document:
        self._by_uri[document.uri] = document
        document.on_edit = lambda edit: self._notify_edit(document.uri, edit)
        return document

    def _notify_edit(self, uri: str, edit: AppliedEdit | None) -> None:
        for listener in self.edit_listeners:
            listener(uri, edit)

    def get(self, uri: str) -> Document:
        """The document, in sync and allowed for the model or not. Raises DocumentNotOpen."""
        document = self._by_uri.get(uri)
        if document is None:
            raise DocumentNotOpen(f"{uri} is not open. Open the file first.")
        return document

    def change(self, uri: str, version: int | None, edits: list[Edit]) -> None:
        """Apply ``edits``; ``version`` is None if the client sent none.

        Raises DocumentNotOpen, DocumentOutOfSync, DocumentTooLarge. A document that becomes too large loses its text
        and is out of sync until the client sends a text that fits.
        """
        document = self._by_uri.get(uri)
        if document is None:
            if not edits or edits[0].start is not None:
                raise DocumentNotOpen(f"{uri} changed but was never opened. Open the file again.")
            before_version = 0 if version is None else version - 1
            document = self._add(Document(uri, "", before_version, "", self.encoding))
        for edit in edits:
            if edit.start is None:
                self._require_room(document, _memory_bytes(edit.text))
        document.change(version, edits)
        self._require_room(document, document.memory_bytes)

    def close(self, uri: str) -> None:
        self._by_uri.pop(uri, None)
        freed_bytes = self._sizes.get(uri, 0)
        self._record_size(uri, 0)
        self._freed.add(freed_bytes)

    def close_all(self) -> None:
        """The client is gone."""
        for uri in list(self._by_uri):
            self.close(uri)

    def _require_room(self, document: Document, size_bytes: int) -> None:
        """Record the new size of ``document``, whose text takes ``size_bytes``.

        Raises DocumentTooLarge, after its text was dropped.
        """
        own_bytes = DOCUMENT_BYTES + 2 * sys.getsizeof(document.uri) + sys.getsizeof(document.language)
        if document.notebook:
            own_bytes += sys.getsizeof(document.path)
        self._record_size(document.uri, own_bytes + size_bytes)
        if size_bytes > MAX_DOCUMENT_BYTES:
            reason = f"{document.uri} takes {size_bytes // _MIB} MB; the limit is {MAX_DOCUMENT_BYTES // _MIB} MB."
        elif self._total_bytes > MAX_TOTAL_BYTES:
            reason = (
                f"The open documents take more than {MAX_TOTAL_BYTES // _MIB} MB. Close some, then open this one again."
            )
        else:
            return
        self._record_size(document.uri, own_bytes)
        document.drop_text(_TOO_LARGE)
        self._notify_edit(document.uri, None)
        if self._total_bytes > MAX_TOTAL_BYTES:
            self.close(document.uri)
        raise DocumentTooLarge(f"There are no suggestions in a document: {reason}")

    def _record_size(self, uri: str, size_bytes: int) -> None:
        self._total_bytes += size_bytes - self._sizes.pop(uri, 0)
        if size_bytes:
            self._sizes[uri] = size_bytes

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


def _memory_bytes(text: str) -> int:
    """``Document.memory_bytes`` for ``text``, before a document with it is created."""
    return sys.getsizeof(text) + BYTES_PER_LINE * (text.count("\n") + text.count("\r") + 1)
