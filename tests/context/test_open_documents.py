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


def test_document_without_a_language_family_has_documents_of_its_language() -> None:
    names = ["a.md", "b.md", "c.log", "d.log", "e.csv", "f.yaml", "g.yml", "h.json", "i.py", ""]
    documents = OpenDocuments({name: OpenDocument(name and f"/{name}", "text", 0.0) for name in names}, ())

    def others(document: str) -> list[str]:
        return [name for name, _ in documents.others(document, "", documents.by_key[document].group)]

    assert others("a.md") == ["b.md"]
    assert others("f.yaml") == ["g.yml"]
    assert others("c.log") == others("e.csv") == others("h.json") == others("i.py") == others("") == []
