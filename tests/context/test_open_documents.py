from __future__ import annotations

from starcoder_ls.context.open_documents import OpenDocument, OpenDocuments

N = "file:///n.ipynb"


def test_cells_of_a_notebook_are_one_document() -> None:
    documents = OpenDocuments(
        {
            "app.py": OpenDocument("/app.py", "import n", 1.0),
            "n#1": OpenDocument("/n.ipynb", "a = 1", 0.0, "python", N),
            "n#2": OpenDocument("/n.ipynb", "text", 9.0, "markdown", N),
            "n#3": OpenDocument("/n.ipynb", "b = 2", 2.0, "python", N),
            "old.py": OpenDocument("/old.py", "old", 0.5),
            "notes.md": OpenDocument("/notes.md", "text", 7.0),
        },
        (),
    )
    cells = (N, OpenDocument("/n.ipynb", "a = 1\n\nb = 2", 2.0, "python", N))
    old = ("old.py", documents.by_key["old.py"])
    app = ("app.py", documents.by_key["app.py"])
    assert documents.others("app.py", "", "python") == [cells, old]
    assert documents.others("n#1", N, "python") == [app, old]
