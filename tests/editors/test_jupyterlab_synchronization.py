"""What the server extension for JupyterLab tells the language server, applied to a plain model of a notebook."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_jupyterlab.insertion import Insertion, insertion_of
from starcoder_jupyterlab.synchronization import Cell, Notebook, TextFile, common_prefix, common_suffix, position

TEXTS = st.text(alphabet="ab\n\r😀 ", max_size=12)
LANGUAGES = st.sampled_from(["python", "markdown"])
CELLS = st.lists(
    st.builds(
        lambda name, language, text, output: Cell(name, language, language == "python", text, output),
        st.sampled_from("ABCDE"),
        LANGUAGES,
        TEXTS,
        st.sampled_from(["", "1"]),
    ),
    max_size=5,
    unique_by=lambda cell: cell.id,
)


class Model:
    """The cells that a language server has after the notifications, by the rules of LSP 3.17."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.texts: dict[str, str] = {}
        self.languages: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.version = 0

    def apply(self, method: str, params: dict[str, Any]) -> None:
        notebook = params["notebookDocument"]
        assert notebook["version"] > self.version
        self.version = notebook["version"]
        if method == "notebookDocument/didOpen":
            self.order = self._cells(notebook["cells"])
            self._open(params["cellTextDocuments"])
        else:
            assert method == "notebookDocument/didChange"
            self._change(params["change"]["cells"])
        assert set(self.order) == set(self.texts)

    def _change(self, change: dict[str, Any]) -> None:
        if "structure" in change:
            array = change["structure"]["array"]
            self.order[array["start"] : array["start"] + array["deleteCount"]] = self._cells(array["cells"])
            for closed in change["structure"]["didClose"]:
                del self.texts[closed["uri"]]
            self._open(change["structure"]["didOpen"])
        self._cells(change.get("data", []))
        for edited in change.get("textContent", []):
            uri = edited["document"]["uri"]
            for edit in edited["changes"]:
                self.texts[uri] = edit["text"] if "range" not in edit else replaced(self.texts[uri], edit)

    def _cells(self, cells: list[dict[str, Any]]) -> list[str]:
        for cell in cells:
            self.outputs[cell["document"]] = "".join(output["text"] for output in cell["metadata"]["outputs"])
        return [cell["document"] for cell in cells]

    def _open(self, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            assert document["uri"] not in self.texts
            self.texts[document["uri"]] = document["text"]
            self.languages[document["uri"]] = document["languageId"]


def replaced(text: str, edit: dict[str, Any]) -> str:
    """``text`` after an edit with a range; no CR is in it."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    start, end = (starts[edit["range"][side]["line"]] + edit["range"][side]["character"] for side in ("start", "end"))
    return f"{text[:start]}{edit['text']}{text[end:]}"


@given(st.lists(CELLS, min_size=1, max_size=6))
def test_server_has_the_cells_of_the_page_after_any_changes(states: list[list[Cell]]) -> None:
    notebook, model = Notebook("file:///n.ipynb", "cell:/n.ipynb"), Model()
    for cells in states:
        notebook.set_cells(cells)
        for method, params in notebook.changes():
            model.apply(method, params)
        assert [model.texts[uri] for uri in model.order] == [cell.text for cell in cells]
        assert [model.languages[uri] for uri in model.order] == [cell.language for cell in cells]
        assert [model.outputs[uri] for uri in model.order] == [cell.output for cell in cells]
        assert notebook.changes() == []


def test_moved_cell_is_neither_opened_nor_closed() -> None:
    first, second, third = (Cell(id_, "python", True, id_) for id_ in "ABC")
    notebook = Notebook("file:///n.ipynb", "cell:/n.ipynb")
    notebook.set_cells([first, second, third])
    notebook.changes()
    notebook.set_cells([second, first, third])
    ((_, params),) = notebook.changes()
    structure = params["change"]["cells"]["structure"]
    assert (structure["didOpen"], structure["didClose"]) == ([], [])
    assert (structure["array"]["start"], structure["array"]["deleteCount"]) == (0, 2)


@given(st.lists(st.tuples(LANGUAGES, TEXTS), min_size=1, max_size=6))
def test_server_has_the_text_of_a_file_after_any_changes(states: list[tuple[str, str]]) -> None:
    file, text, language = TextFile("file:///app.py"), "", ""
    for new_language, new_text in states:
        file.set_cells([Cell("file", new_language, True, new_text)])
        for method, params in file.changes():
            if method == "textDocument/didOpen":
                text, language = params["textDocument"]["text"], params["textDocument"]["languageId"]
            elif method == "textDocument/didChange":
                (edit,) = params["contentChanges"]
                text = edit["text"] if "range" not in edit else replaced(text, edit)
        assert (text, language) == (new_text, new_language)


@given(st.text(alphabet="ab", max_size=8), st.text(alphabet="ab", max_size=8))
def test_common_parts_are_the_longest(before: str, after: str) -> None:
    prefix, suffix = common_prefix(before, after), common_suffix(before, after)
    longest = [length for length in range(9) if length <= min(len(before), len(after))]
    assert prefix == max(length for length in longest if before[:length] == after[:length])
    assert suffix == max(length for length in longest if before[len(before) - length :] == after[len(after) - length :])


def test_position_after_any_line_end_is_at_the_next_line() -> None:
    for line_end in ("\n", "\r", "\r\n"):
        assert position(f"a{line_end}bc", len(f"a{line_end}b")) == {"line": 1, "character": 1}


@pytest.mark.parametrize(
    ("text", "new_text", "start", "end", "expected"),
    [
        ("f(", "x)", 2, 2, Insertion("x)", 0)),
        ("f()", "x)", 2, 3, Insertion("x", 0)),
        ("f()", "x):", 2, 3, Insertion("x):", 1)),
        ("f()", ")", 2, 3, None),
        ("f(x", "xy", 2, 3, Insertion("y", 0)),
        ("f(x", "zy", 2, 3, None),
        ("f(x", "y", 4, 4, None),
    ],
)
def test_item_becomes_an_insertion_at_the_cursor(
    text: str, new_text: str, start: int, end: int, expected: Insertion | None
) -> None:
    offset = 3 if text == "f(x" else 2
    replaced_range = {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": end}}
    assert insertion_of({"insertText": new_text, "range": replaced_range}, text, offset) == expected
