"""Notebooks in a headless VS Code, with its own support for `.ipynb` files and the packaged extension.

Skipped unless `VSCODE` names a code-server: `make test-editors` installs one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import vscode as driver
from notebook_client import code_cell, write_notebook
from vscode import BUNDLED_SERVER, VSCode, Window, wait

MARKDOWN = {"cell_type": "markdown", "metadata": {}, "source": ["# Revenue"]}
DEFINITION = "def monthly_revenue(orders):\n    return sum(order.price for order in orders)"
PRINTED = {"output_type": "stream", "name": "stdout", "text": ["42 orders\n"]}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    """A window with a notebook of three cells, whose server has the bundled model."""
    with driver.running(tmp_path) as code:
        # Else the first file that is opened is text: the contributions of extensions are not read yet.
        code.write_user_settings(**{"workbench.editorAssociations": {"*.ipynb": "jupyter-notebook"}})
        code.write_machine_settings(**{"starcoder.server.command": BUNDLED_SERVER})
        yield open_notebook(code, tmp_path / "project")


def open_notebook(code: VSCode, folder: Path) -> Window:
    folder.mkdir()
    cells = (MARKDOWN, code_cell(DEFINITION), code_cell("print(len(orders), 'orders')", PRINTED), code_cell("# total"))
    write_notebook(folder / "analysis.ipynb", *cells)
    return code.open(folder, "analysis.ipynb")


def type_in_last_cell(window: Window, text: str) -> None:
    window.page.locator(".code-cell-row .monaco-editor .view-lines").last.click()
    window.press("Control+End")
    window.type(text)


def prompt_preview(window: Window) -> str:
    """What the model sees at the cursor."""
    window.run("StarCoder: Show What the Model Sees Here")

    def preview() -> str:
        view = window.page.query_selector_all(".editor-group-container .monaco-editor .view-lines")[-1]
        return str(view.inner_text()).replace("\xa0", " ")

    wait(lambda: "<fim_middle>" in preview(), "prompt", 60, preview)
    return preview()


def test_name_of_an_earlier_cell_is_completed_in_a_later_one(window: Window) -> None:
    window.wait_for_status("bundled", 120)
    type_in_last_cell(window, "\ntotal = monthly_")
    assert window.wait_for_ghost("revenue").startswith("revenue")
    window.press("Tab")
    written = "".join(json.loads(window.save())["cells"][-1]["source"])
    assert written.startswith("# total\ntotal = monthly_revenue")
    seen = prompt_preview(window)
    assert "# # Revenue" in seen
    assert seen.index("def monthly_revenue(orders):") < seen.index("print(len(orders), 'orders')")
