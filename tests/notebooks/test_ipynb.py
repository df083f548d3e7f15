from __future__ import annotations

import json
from typing import Any

import pytest

from notebook_client import code_cell, notebook_json
from starcoder_ls.notebooks.cells import Cell, CellKind
from starcoder_ls.notebooks.ipynb import Notebook, is_notebook, parse_notebook, script_of_notebook


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_cells_are_read_with_outputs_and_language() -> None:
    markdown = {"cell_type": "markdown", "metadata": {}, "source": "# Title\r\ntext"}
    printed = {"output_type": "stream", "name": "stdout", "text": ["4\n"]}
    notebook = parse_notebook(encoded(notebook_json([markdown, code_cell("x = 2\nprint(x + x)", printed)])))
    assert notebook == Notebook(
        (
            Cell(CellKind.MARKDOWN, "# Title\ntext", "markdown"),
            Cell(CellKind.CODE, "x = 2\nprint(x + x)", "python", "4"),
        ),
        "python",
    )


def test_notebook_of_format_3_is_read_from_its_worksheets() -> None:
    cells = [{"cell_type": "code", "input": ["import os\n"], "language": "python", "outputs": []}]
    script = script_of_notebook(encoded({"nbformat": 3, "worksheets": [{"cells": cells}], "metadata": {}}))
    assert script == ("import os\n\n", "python")


def test_language_is_that_of_the_kernel() -> None:
    assert script_of_notebook(encoded(notebook_json([code_cell("x <- 1")], "R"))) == ("x <- 1\n\n", "r")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"3",
        b'{"cells": 3}',
        b'{"cells": [3, "x"]}',
        b'{"worksheets": [3]}',
        b"[" * 100_000,
        encoded({"cells": [{"cell_type": "code", "source": {"a": 1}}, {}], "metadata": [1]}),
    ],
    ids=str,
)
def test_other_content_gives_no_script(content: bytes) -> None:
    assert script_of_notebook(content) is None


def test_notebooks_are_recognised_by_their_suffix() -> None:
    assert is_notebook("/a/B.IPYNB")
    assert not is_notebook("/a/ipynb.py")
