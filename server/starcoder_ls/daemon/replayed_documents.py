"""The open documents of a window, as the messages that a new daemon needs to know their texts.

Changes are kept as they arrive, without applying them. When they have grown, the resulting text is requested from the
daemon (``starcoder/text``) and replaces them. Beyond MAX_DOCUMENT_BYTES, a document is forgotten instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starcoder_ls.daemon import message

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Of all documents of a window, with their changes. A document beyond it is not replayed after the daemon has ended."""

_MAX_CHANGES_BYTES = 256 * 1024
_DOCUMENT_BYTES, _CHANGE_BYTES = 512, 64
"""What Python's objects for a document and for a change take beside their bodies."""


@dataclass(slots=True)
class _Document:
    """``changes`` apply to the text of ``did_open``. ``covered_changes`` of them are in the text that was requested."""

    did_open: bytes
    changes: list[bytes] = field(default_factory=list)
    changes_bytes: int = 0
    is_text_requested: bool = False
    covered_changes: int = 0
    max_changes_bytes: int = _MAX_CHANGES_BYTES

    @property
    def size_bytes(self) -> int:
        return _DOCUMENT_BYTES + len(self.did_open) + self.changes_bytes + _CHANGE_BYTES * len(self.changes)


class ReplayedDocuments:
    """By URI. Not thread-safe: the owner holds a lock.

    ``encode_open`` makes the message that opens a document as the daemon describes it.
    """

    def __init__(self, encode_open: Callable[[Any], bytes] | None = None) -> None:
        self._encode_open = encode_open or _did_open
        self._by_uri: dict[str, _Document] = {}
        self._size_bytes = 0

    @property
    def uris(self) -> list[str]:
        return list(self._by_uri)

    def add(self, uri: str, did_open: bytes) -> None:
        self.remove(uri)
        document = self._by_uri[uri] = _Document(did_open)
        self._size_bytes += document.size_bytes
        self._forget_if_too_large(uri)

    def remove(self, uri: str) -> None:
        """Forget the document; does nothing if it is not known."""
        if (document := self._by_uri.pop(uri, None)) is not None:
            self._size_bytes -= document.size_bytes

    def change(self, uri: str, body: bytes) -> bool:
        """Record a change. Whether the text shall be requested from the daemon now."""
        if (document := self._by_uri.get(uri)) is None:
            return False
        before_bytes = document.size_bytes
        document.changes.append(body)
        document.changes_bytes += len(body)
        self._size_bytes += document.size_bytes - before_bytes
        if self._forget_if_too_large(uri):
            return False
        limit_bytes = max(document.max_changes_bytes, len(document.did_open))
        if document.is_text_requested or document.changes_bytes < limit_bytes:
            return False
        document.is_text_requested, document.covered_changes = True, len(document.changes)
        return True

    def set_text(self, uri: str, result: Any) -> None:
        """``result`` is the text after the covered changes, or None if the daemon does not know the document."""
        document = self._by_uri.get(uri)
        if document is None or not document.is_text_requested:
            return
        document.is_text_requested = False
        if not isinstance(result, dict):
            document.max_changes_bytes = document.changes_bytes * 2
            return
        before_bytes = document.size_bytes
        document.did_open = self._encode_open(result)
        document.changes = document.changes[document.covered_changes :]
        document.changes_bytes = sum(map(len, document.changes))
        document.max_changes_bytes = _MAX_CHANGES_BYTES
        self._size_bytes += document.size_bytes - before_bytes

    def replay(self) -> list[bytes]:
        """The bodies for a new daemon. Texts that were requested from the old one will not come."""
        bodies: list[bytes] = []
        for document in self._by_uri.values():
            document.is_text_requested = False
            bodies += [document.did_open, *document.changes]
        return bodies

    def _forget_if_too_large(self, uri: str) -> bool:
        """Forget the document if it makes all of them too large: it is not replayed until the editor opens it again."""
        if self._size_bytes <= MAX_DOCUMENT_BYTES:
            return False
        self.remove(uri)
        return True


def _did_open(document: Any) -> bytes:
    return message.encode(method="textDocument/didOpen", params={"textDocument": document})
