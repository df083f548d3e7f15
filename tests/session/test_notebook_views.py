from __future__ import annotations

from starcoder_ls.lsp.documents.document import Document, Edit, Position
from starcoder_ls.lsp.documents.notebooks import NotebookCell, Notebooks
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.notebooks.cells import CellKind, NotebookView
from starcoder_ls.session.notebook_views import NotebookViews

URI = "file:///n.ipynb"
Cells = tuple[Documents, Notebooks, NotebookViews]


def opened(uri: str = URI, prefix: str = "", language: str = "python") -> Cells:
    documents = Documents()
    notebooks = Notebooks(documents)
    views = NotebookViews(documents, notebooks)
    add(documents, notebooks, uri, prefix, language)
    return documents, notebooks, views


def add(documents: Documents, notebooks: Notebooks, uri: str, prefix: str = "", language: str = "python") -> None:
    for name in ("a", "b", "c"):
        documents.open(prefix + name, language, 1, f"{name} = 1", uri)
    kind = CellKind.CODE
    notebooks.open(uri, "jupyter-notebook", 1, [NotebookCell(prefix + name, kind) for name in ("a", "b", "c")])


def view(cells: Cells, uri: str = "b") -> NotebookView:
    documents, _, views = cells
    found = views.view(documents.get(uri))
    assert found is not None
    return found


def test_view_is_the_same_while_the_user_types_in_the_cell() -> None:
    cells = opened()
    first = view(cells)
    for version in range(2, 9):
        cells[0].change("b", version, [Edit("x", Position(0, 0), Position(0, 0))])
        assert view(cells) is first
    assert first.embed("?") == "a = 1\n\n?\n\nc = 1\n"


def test_view_is_read_again_when_another_cell_changes() -> None:
    cells = opened()
    view(cells)
    cells[0].change("a", 2, [Edit("new = 1")])
    assert view(cells).above.text == "new = 1\n\n"
    cells[1].set_cells(URI, [NotebookCell("a", CellKind.CODE, "4")])
    assert view(cells).above.cells[0].cell.output == "4"
    cells[1].splice(URI, 2, 1, [])
    assert view(cells).below.text == ""
    assert view(cells, "a").below.text == "\n\nb = 1\n"


def test_magic_that_is_typed_changes_the_language_of_the_view() -> None:
    cells = opened()
    view(cells)
    cells[0].change("b", 2, [Edit("%%bash\nls")])
    assert view(cells).above.text == "# a = 1\n\n"


def test_cell_out_of_sync_is_left_out() -> None:
    cells = opened()
    cells[0].mark_out_of_sync("a")
    assert view(cells).above.text == ""


def test_raw_cell_is_read_as_text() -> None:
    cells = opened(language="raw")
    assert view(cells).kind is CellKind.MARKDOWN


def test_documents_that_are_no_cells_have_no_view() -> None:
    documents, notebooks, views = opened()
    documents.open("file:///a.py", "python", 1, "x")
    assert views.view(documents.get("file:///a.py")) is None
    assert views.embed(documents.get("file:///a.py"), "x", 1) == ("x", 1)
    documents.open("d", "python", 1, "x", URI)
    assert views.view(documents.get("d")) is None, "it is in no cell list"
    notebooks.close(URI)
    assert views.view(documents.get("b")) is None
    assert views.view(Document("b", "python", 1, "x", documents.encoding, "unknown")) is None


def test_views_of_few_notebooks_are_kept() -> None:
    documents, notebooks, views = cells = opened()
    first = view(cells)
    for number in range(4):
        add(documents, notebooks, f"file:///{number}.ipynb", f"{number}/")
        view(cells, f"{number}/b")
    assert len(views._known) == 4
    assert view(cells) is not first
    views.close()
    assert not views._known
