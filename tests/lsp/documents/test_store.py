from __future__ import annotations

import pytest

from starcoder_ls.errors import DocumentExcluded, DocumentNotOpen, DocumentOutOfSync, DocumentTooLarge
from starcoder_ls.lsp.documents import store
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.documents.store import MAX_DOCUMENT_BYTES, MAX_TOTAL_BYTES, Documents

URI = "file:///a.py"
START = Position(0, 0)


def test_change_of_an_unopened_document_is_rejected() -> None:
    documents = Documents()
    with pytest.raises(DocumentNotOpen):
        documents.change(URI, 2, [Edit("x", START, START)])
    with pytest.raises(DocumentNotOpen):
        documents.for_model(URI)
    assert len(documents) == 0


def test_whole_text_opens_an_unopened_document() -> None:
    documents = Documents()
    documents.change(URI, 7, [Edit("whole"), Edit("the ", START, START)])
    assert documents.for_model(URI).text == "the whole"
    documents.change(URI, 8, [Edit("at ", START, START)])
    assert documents.for_model(URI).text == "at the whole"


def test_reopening_restores_an_out_of_sync_document() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "a")
    documents.mark_out_of_sync(URI)
    with pytest.raises(DocumentOutOfSync):
        documents.for_model(URI)
    documents.open(URI, "python", 1, "b")
    assert documents.for_model(URI).text == "b"


def test_unreadable_edit_without_uri_affects_all_documents() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "a")
    documents.open("file:///b.py", "python", 1, "b")
    documents.mark_out_of_sync("file:///c.py")
    assert documents.for_model(URI).is_in_sync
    documents.mark_out_of_sync(None)
    for uri in (URI, "file:///b.py"):
        with pytest.raises(DocumentOutOfSync):
            documents.for_model(uri)


def test_is_unchanged_requires_the_same_open_document_and_text() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "ab")
    document = documents.for_model(URI)
    assert documents.is_unchanged(document, "ab")
    documents.change(URI, 2, [Edit("x", START, START)])
    assert not documents.is_unchanged(document, "ab")
    documents.change(URI, 3, [Edit("", START, Position(0, 1))])
    assert documents.is_unchanged(document, "ab")
    documents.close(URI)
    assert not documents.is_unchanged(document, "ab")


def test_excluded_document_is_open_but_not_given_to_the_model() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "x")
    documents.exclusion = lambda uri, path: "the rules say so" if (uri, path) == (URI, "/a.py") else None
    with pytest.raises(DocumentExcluded, match="the rules say so"):
        documents.for_model(URI)
    assert documents.get(URI).text == "x"
    assert [document.uri for document in documents] == [URI]
    with pytest.raises(DocumentNotOpen):
        documents.get("file:///b.py")


def test_documents_are_bounded_in_bytes_and_closing_makes_room() -> None:
    documents, text, refused = Documents(), "x" * 1_000_000, 0
    for number in range(300):
        try:
            documents.open(f"file:///{number}.py", "python", 1, text)
        except DocumentTooLarge:
            refused += 1
    kept = [document for document in documents if document.is_in_sync]
    assert sum(document.memory_bytes for document in kept) <= MAX_TOTAL_BYTES
    assert len(kept) == 300 - refused > 60
    assert all(not document.text for document in documents if not document.is_in_sync)
    documents.close(kept[0].uri)
    documents.open("file:///299.py", "python", 2, text)
    assert documents.for_model("file:///299.py").text == text
    for document in documents:
        documents.close(document.uri)
    assert documents._total_bytes == 0


@pytest.mark.parametrize("text", ["x" * (MAX_DOCUMENT_BYTES + 1), "\n" * (MAX_DOCUMENT_BYTES // 8), "😀" * 5_000_000])
def test_large_document_is_refused_until_its_text_fits(text: str) -> None:
    documents = Documents()
    with pytest.raises(DocumentTooLarge, match="limit is 16 MB"):
        documents.open(URI, "python", 1, text)
    with pytest.raises(DocumentOutOfSync):
        documents.for_model(URI)
    documents.change(URI, 2, [Edit("small")])
    with pytest.raises(DocumentTooLarge):
        documents.change(URI, 3, [Edit(text, START, START)])
    assert not documents.get(URI).text
    documents.open(URI, "python", 1, "small")
    assert documents.for_model(URI).text == "small"


@pytest.mark.parametrize(("uri", "language"), [("file:///{}" + "x" * 3_000_000, "x"), ("{}", "y" * 3_000_000)])
def test_long_names_count_towards_the_memory_of_documents(uri: str, language: str) -> None:
    documents, refused = Documents(), 0
    for number in range(30):
        try:
            documents.open(uri.format(number), language, 1, "")
        except DocumentTooLarge:
            refused += 1
    assert len(documents) == 30 - refused < 25
    documents.close_all()
    assert documents._total_bytes == 0


def test_empty_documents_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_TOTAL_BYTES", 1_000_000)
    documents, refused = Documents(), 0
    for number in range(1000):
        try:
            documents.open(f"file:///{number}", "python", 1, "")
        except DocumentTooLarge:
            refused += 1
    assert 100 < len(documents) == 1000 - refused < 250
