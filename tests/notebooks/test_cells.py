from __future__ import annotations

from starcoder_ls.notebooks.cells import NotebookView, Script


def test_views_are_compared_by_identity_so_that_caches_need_no_texts() -> None:
    first, second = NotebookView(Script("a")), NotebookView(Script("a"))
    assert first != second
    assert first.embed("x") == second.embed("x") == "ax"
