from __future__ import annotations

import pytest

from starcoder_ls.errors import DocumentExcluded, DocumentNotOpen, DocumentOutOfSync
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.documents.store import Documents

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
