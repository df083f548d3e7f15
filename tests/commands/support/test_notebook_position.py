from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fim_tokens import JUPYTER, STARCODER
from starcoder_ls.commands.support.source_position import read_cursor
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.errors import DocumentExcluded, DocumentOutOfSync, SettingsError
from starcoder_ls.generation import Status
from starcoder_ls.notebooks.cells import CellKind
from starcoder_ls.settings import InlineCompletion
from stepped_engine import SteppedEngine

CELLS = [
    {"cell_type": "markdown", "source": ["# Sales\n", "of 2025"]},
    {"cell_type": "code", "source": "def total(rows):\n    return sum(rows)", "outputs": []},
    {"cell_type": "code", "source": ["%%bash\n", "ls"], "outputs": []},
    {"cell_type": "code", "source": "x = 1\nprint()", "outputs": []},
    {"cell_type": "code", "source": "y = 2", "outputs": []},
]


class NotebookEngine(SteppedEngine):
    def status(self) -> Status:
        return replace(super().status(), special_tokens=STARCODER | JUPYTER, model="starcoder")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a:b.ipynb"
    file.write_text(json.dumps({"cells": CELLS, "metadata": {}, "nbformat": 4}))
    return file


def test_cursor_is_in_the_cell_with_the_other_cells_around_it(file: Path) -> None:
    cursor = read_cursor(f"{file}:4:2:7")
    assert (cursor.text, cursor.offset, cursor.language) == ("x = 1\nprint()", 12, "python")
    assert cursor.notebook is not None
    assert cursor.whole_text[: cursor.whole_offset].startswith("# # Sales\n# of 2025\n\ndef total(rows):")
    assert cursor.whole_text.endswith("x = 1\nprint()\n\ny = 2\n")
    assert cursor.shown_path.endswith("a:b.py")


def test_prompt_shows_the_cells_above_in_the_trained_format(file: Path) -> None:
    engine = NotebookEngine()
    prompt = build_prompt(engine, read_cursor(f"{file}:4:2:7"), InlineCompletion(heal_words=False))
    text = "".join(part if isinstance(part, str) else part.literal for part in prompt.layout.parts)
    assert "<jupyter_start><jupyter_text># Sales\nof 2025<jupyter_code>def total(rows):\n" in text
    assert text.endswith("x = 1\nprint(")


def test_language_is_that_of_the_cell(file: Path) -> None:
    assert read_cursor(f"{file}:3:2:3").language == "shellscript"
    text = read_cursor(f"{file}:1:1:1")
    assert text.language == "markdown"
    assert text.notebook is not None
    assert text.notebook.kind is CellKind.MARKDOWN


def test_position_without_a_cell_is_an_error_that_says_how_to_name_one(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"a:b\.ipynb:CELL:LINE:COL"):
        read_cursor(f"{file}:2:7")


@pytest.mark.parametrize(
    ("position", "message"), [("0:1:1", "5, text cells"), ("6:1:1", "5, text cells"), ("4:3:1", "the text has 2")]
)
def test_position_outside_the_notebook_is_an_error(file: Path, position: str, message: str) -> None:
    with pytest.raises(DocumentOutOfSync, match=message):
        read_cursor(f"{file}:{position}")


@pytest.mark.parametrize("content", ["", "not JSON", '{"cells": []}', "[]"])
def test_file_that_is_no_notebook_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.ipynb").write_text(content)
    with pytest.raises(SettingsError, match="no notebook with cells"):
        read_cursor(f"{tmp_path / 'a.ipynb'}:1:1:1")


def test_excluded_notebook_is_an_error(file: Path) -> None:
    with pytest.raises(DocumentExcluded):
        read_cursor(f"{file}:4:1:1", ["*.ipynb"])
