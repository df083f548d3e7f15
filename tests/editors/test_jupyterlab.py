"""The installed extension in a real JupyterLab in a headless browser, with a scripted server and the bundled model.

Skipped unless `JUPYTERLAB` names a jupyter-lab: `make test-editors` installs one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import jupyterlab_driver as driver
from harness import FAKE_SERVER_COMMAND
from jupyterlab_driver import JupyterLab, Notebook
from jupyterlab_page import RECORDER
from recording_language_server import ITEM_TEXT
from vscode import BUNDLED_SERVER, wait

DEFINITION = "def total_of_rows(table):\n    return sum(table)\n"
ENGINE = {"replies": {"def total_of_rows": ["total_of_rows(", "table)", "\n"]}}
OpenNotebook = Callable[..., Notebook]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    with driver.running(tmp_path_factory.mktemp("jupyterlab")) as jupyterlab:
        jupyterlab.start([*FAKE_SERVER_COMMAND, json.dumps(ENGINE)])
        yield jupyterlab


@pytest.fixture
def open_notebook(lab: JupyterLab) -> Iterator[OpenNotebook]:
    pages: list[Notebook] = []

    def open_page(name: str, *sources: str, **provider: Any) -> Notebook:
        lab.write_settings(provider)
        pages.append(lab.open(name, *sources))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
    wait(lambda: not lab.servers(), "end of the servers of closed pages", 60, lab.servers)


def test_name_of_an_earlier_cell_is_completed_and_tab_accepts(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("first.ipynb", DEFINITION, "")
    notebook.wait_for_status("scripted")
    notebook.type_in_cell(1, "x = ")
    assert notebook.wait_for_ghost() == "total_of_rows(table)"
    assert notebook.save() == [DEFINITION, "x = "], "ghost text is not in the notebook"
    notebook.type_in_cell(1, "t")
    assert notebook.wait_for_ghost() == "otal_of_rows(table)"
    notebook.press("Tab")
    assert notebook.save() == [DEFINITION, "x = total_of_rows(table)"]


def test_deleted_cell_is_no_longer_read(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("deleted.ipynb", DEFINITION, "")
    notebook.wait_for_status("scripted")
    notebook.type_in_cell(1, "x = ")
    notebook.wait_for_ghost("total_of_rows")
    notebook.press("Escape", "ArrowUp", "d", "d")
    notebook.type_in_cell(0, "0\ny = ")
    assert notebook.wait_for_ghost() == "return 1"


def test_manual_trigger_waits_for_the_command(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("manual.ipynb", DEFINITION, "", trigger="manual")
    notebook.wait_for_status("scripted")
    notebook.type_in_cell(1, "x = ")
    time.sleep(1.5)
    assert notebook.ghost() == ""
    notebook.press("Alt+Backslash")
    assert notebook.wait_for_ghost() == "total_of_rows(table)"


def test_disabled_provider_starts_no_server(lab: JupyterLab, open_notebook: OpenNotebook) -> None:
    notebook = open_notebook("disabled.ipynb", DEFINITION, "", enabled=False)
    notebook.type_in_cell(1, "x = ")
    time.sleep(2.0)
    assert (notebook.ghost(), notebook.status(), lab.servers()) == ("", "", [])


def test_file_in_the_file_editor_is_completed(open_notebook: OpenNotebook) -> None:
    file = open_notebook("app.py", DEFINITION)
    file.wait_for_status("scripted")
    file.type_in_cell(0, "x = ")
    assert file.wait_for_ghost() == "total_of_rows(table)"
    file.press("Tab")
    assert file.save() == [f"{DEFINITION}x = total_of_rows(table)"]


def test_websocket_needs_the_token(lab: JupyterLab) -> None:
    assert driver.websocket_status(lab, None) == 403
    assert driver.websocket_status(lab, "another-token") == 403
    assert driver.websocket_status(lab, driver.TOKEN) == 101


def test_bundled_model_completes_a_name_of_an_earlier_cell(lab: JupyterLab, open_notebook: OpenNotebook) -> None:
    lab.start(BUNDLED_SERVER)
    notebook = open_notebook("bundled.ipynb", DEFINITION, "table = [1, 2, 3]", "")
    notebook.wait_for_status("bundled")
    notebook.type_in_cell(2, "print(total_of_")
    ghost = notebook.wait_for_ghost("rows(")
    notebook.press("Tab")
    assert notebook.save()[2] == f"print(total_of_{ghost}"


@pytest.mark.parametrize(
    ("arguments", "typed", "expected"),
    [((), "x = ", "starcoder.accepted"), (("--silent",), "x = 12", "$/cancelRequest")],
    ids=["acceptance", "cancellation"],
)
def test_what_the_user_does_reaches_the_server(
    lab: JupyterLab, open_notebook: OpenNotebook, tmp_path: Path, arguments: tuple[str, ...], typed: str, expected: str
) -> None:
    log = tmp_path / "sent-to-the-server"
    lab.start(["sh", "-c", f'tee "{log}" | "$0" "$@"', *RECORDER, *arguments])
    notebook = open_notebook("reported.ipynb", "")
    wait(lambda: "notebookDocument/didOpen" in log.read_text(), "the notebook at the server")
    notebook.type_in_cell(0, typed, delay_ms=300)
    if not arguments:
        notebook.wait_for_ghost(ITEM_TEXT)
        notebook.press("Tab")
    wait(lambda: expected in log.read_text(), expected, 60, log.read_text)


def test_missing_program_is_reported_once(lab: JupyterLab, open_notebook: OpenNotebook) -> None:
    lab.start(["/no/such/starcoder-ls", "serve"])
    notebook = open_notebook("missing.ipynb", "")
    notebook.wait_for_status("not installed")
    wait(notebook.notifications, "a notification")
    notebook.type_in_cell(0, "x = 1")
    time.sleep(1.0)
    (shown,) = notebook.notifications()
    assert "/no/such/starcoder-ls cannot be started" in shown
