from __future__ import annotations

import pytest

from starcoder_ls.errors import DocumentExcluded, DocumentNotOpen, DocumentOutOfSync
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.documents.store import Documents

URI = "file:///a.py"
HERE = Position(0, 0)


def test_a_change_to_a_document_never_opened_is_refused() -> None:
    documents = Documents()
    with pytest.raises(DocumentNotOpen):
        documents.change(URI, 2, [Edit("x", HERE, HERE)])
    with pytest.raises(DocumentNotOpen):
        documents.for_model(URI)
    assert len(documents) == 0


def test_a_whole_text_begins_a_document_never_opened() -> None:
    documents = Documents()
    documents.change(URI, 7, [Edit("whole"), Edit("the ", HERE, HERE)])
    assert documents.for_model(URI).text == "the whole"
    documents.change(URI, 8, [Edit("at ", HERE, HERE)])
    assert documents.for_model(URI).text == "at the whole"


def test_opening_again_puts_a_lost_document_right() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "a")
    documents.mark_out_of_sync(URI)
    with pytest.raises(DocumentOutOfSync):
        documents.for_model(URI)
    documents.open(URI, "python", 1, "b")
    assert documents.for_model(URI).text == "b"


def test_an_edit_that_names_no_document_loses_each_of_them() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "a")
    documents.open("file:///b.py", "python", 1, "b")
    documents.mark_out_of_sync("file:///c.py")
    assert documents.for_model(URI).is_in_sync
    documents.mark_out_of_sync(None)
    for uri in (URI, "file:///b.py"):
        with pytest.raises(DocumentOutOfSync):
            documents.for_model(uri)


def test_a_text_is_still_right_only_while_the_same_document_reads_it() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "ab")
    document = documents.for_model(URI)
    assert documents.is_unchanged(document, "ab")
    documents.change(URI, 2, [Edit("x", HERE, HERE)])
    assert not documents.is_unchanged(document, "ab")
    documents.change(URI, 3, [Edit("", HERE, Position(0, 1))])
    assert documents.is_unchanged(document, "ab")
    documents.close(URI)
    assert not documents.is_unchanged(document, "ab")


def test_an_excluded_document_is_open_but_not_read_for_a_model() -> None:
    documents = Documents()
    documents.open(URI, "python", 1, "x")
    documents.exclusion = lambda uri, path: "the rules say so" if (uri, path) == (URI, "/a.py") else None
    with pytest.raises(DocumentExcluded, match="the rules say so"):
        documents.for_model(URI)
    assert documents.get(URI).text == "x"
    assert [document.uri for document in documents] == [URI]
    with pytest.raises(DocumentNotOpen):
        documents.get("file:///b.py")
