from __future__ import annotations

import pytest

from starcoder_ls.daemon import replayed_documents
from starcoder_ls.daemon.replayed_documents import MAX_DOCUMENT_BYTES, ReplayedDocuments

URI = "file:///a.py"


def test_documents_with_little_text_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayed_documents, "MAX_DOCUMENT_BYTES", 100_000)
    documents = ReplayedDocuments()
    for number in range(1000):
        documents.add(f"file:///{number}.py", b"x")
    assert 100 < len(documents.uris) < 200
    for uri in documents.uris:
        documents.remove(uri)
    assert documents._size_bytes == 0


def test_size_is_that_of_what_is_kept_after_every_operation() -> None:
    documents = ReplayedDocuments()
    documents.add(URI, b"open")
    while not documents.change(URI, b"x" * 100_000):
        pass
    documents.change(URI, b"last")
    documents.set_text(URI, {"uri": URI, "text": "all"})
    assert documents._size_bytes == sum(document.size_bytes for document in documents._by_uri.values()) < 5_000
    assert documents.replay()[-1] == b"last"
    documents.add(URI, b"again")
    documents.remove("file:///unknown.py")
    assert documents.replay() == [b"again"]
    documents.remove(URI)
    assert (documents.uris, documents._size_bytes) == ([], 0)
    assert not documents.change(URI, b"x")


def test_document_that_is_too_large_is_forgotten() -> None:
    documents = ReplayedDocuments()
    documents.add(URI, b"x" * (MAX_DOCUMENT_BYTES - 10_000))
    documents.add("file:///b.py", b"x" * 20_000)
    assert documents.uris == [URI]
