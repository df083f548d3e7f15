"""The server extension for JupyterLab, with a recording language server, a scripted one and the bundled model."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import FAKE_SERVER_COMMAND, async_test
from jupyterlab_page import RECORDER, opened_page
from recording_language_server import COMMAND, ITEM_TEXT
from starcoder_jupyterlab.command import find_command
from windows import daemons

BUNDLED = [sys.executable, "-m", "starcoder_ls", "serve"]


@async_test
async def test_page_initializes_server_with_its_folder(tmp_path: Path) -> None:
    async with opened_page(RECORDER, tmp_path) as page:
        params = await page.recorded("initialize")
    assert params["workspaceFolders"] == [{"uri": tmp_path.as_uri(), "name": tmp_path.name}]
    assert params["processId"] == os.getpid()


@async_test
async def test_home_folder_is_no_workspace() -> None:
    async with opened_page(RECORDER, Path.home()) as page:
        assert (await page.recorded("initialize"))["workspaceFolders"] == []


@async_test
async def test_cells_are_sent_once_and_then_as_edits(tmp_path: Path) -> None:
    async with opened_page(RECORDER, tmp_path) as page:
        page.show("import math\n", "math.")
        opened = await page.recorded("notebookDocument/didOpen")
        page.show(None, "math.sq")
        changed = await page.recorded("notebookDocument/didChange")
    assert opened["notebookDocument"]["uri"] == (tmp_path / "analysis.ipynb").as_uri()
    assert [cell["text"] for cell in opened["cellTextDocuments"]] == ["import math\n", "math."]
    (edited,) = changed["change"]["cells"]["textContent"]
    assert edited["document"]["uri"] == opened["cellTextDocuments"][1]["uri"]
    here = {"line": 0, "character": 5}
    assert edited["changes"] == [{"range": {"start": here, "end": here}, "text": "sq"}]


@async_test
async def test_position_counts_code_points() -> None:
    async with opened_page(RECORDER) as page:
        page.show("# 𝒙\ny = '😀' + ")
        await page.recorded("notebookDocument/didOpen")
        (item,) = await page.items("a", 13)
        params = await page.recorded("textDocument/inlineCompletion")
    assert params["position"] == {"line": 1, "character": 9}
    assert (item["text"], item["replacedAfter"]) == (ITEM_TEXT, 0)


@async_test
async def test_accepted_item_is_reported_once() -> None:
    async with opened_page(RECORDER) as page:
        page.show("x = ")
        await page.recorded("notebookDocument/didOpen")
        (item,) = await page.items("a", 4)
        page.session.receive({"type": "accepted", "item": item["id"]})
        page.session.receive({"type": "accepted", "item": item["id"]})
        executed = await page.recorded("workspace/executeCommand")
        await page.items("a", 4)
        reports = [message for message in page.received if "executeCommand" in message.get("text", "")]
    assert executed == {"command": COMMAND["command"], "arguments": COMMAND["arguments"]}
    assert not reports


@async_test
async def test_cancelled_request_is_cancelled_at_the_server() -> None:
    async with opened_page([*RECORDER, "--silent"]) as page:
        page.show("x = ")
        await page.recorded("notebookDocument/didOpen")
        request = page.complete("a", 4)
        await page.recorded("textDocument/inlineCompletion")
        page.session.receive({"type": "cancel", "request": request})
        assert "id" in await page.recorded("$/cancelRequest")
        assert not [message for message in page.received if message["type"] == "items"]


@async_test
async def test_request_before_the_server_is_ready_is_answered() -> None:
    async with opened_page(RECORDER) as page:
        page.show("x = ")
        assert await page.items("a", 4) == []


@async_test
async def test_closed_notebook_is_closed_at_the_server() -> None:
    async with opened_page(RECORDER) as page:
        page.show("x = 1", "y = 2")
        opened = await page.recorded("notebookDocument/didOpen")
        page.session.receive({"type": "close", "document": "analysis.ipynb"})
        closed = await page.recorded("notebookDocument/didClose")
    assert closed["notebookDocument"]["uri"] == opened["notebookDocument"]["uri"]
    assert len(closed["cellTextDocuments"]) == 2


@async_test
async def test_file_of_the_file_editor_is_a_text_document(tmp_path: Path) -> None:
    async with opened_page(RECORDER, tmp_path) as page:
        page.show("x = ", name="folder/app.py")
        opened = await page.recorded("textDocument/didOpen")
        assert len(await page.items("a", 4, "folder/app.py")) == 1
    assert opened["textDocument"]["uri"] == (tmp_path / "folder" / "app.py").as_uri()


@async_test
async def test_killed_server_is_started_again_and_knows_the_cells(tmp_path: Path) -> None:
    process_id = tmp_path / "pid"
    shell = ["sh", "-c", f'echo $$ > {process_id}; exec "$0" "$@"', *RECORDER]
    async with opened_page(shell) as page:
        page.show("x = ")
        await page.recorded("notebookDocument/didOpen")
        os.kill(int(process_id.read_text()), signal.SIGKILL)
        restarted = await page.message("status", message="starcoder-ls ended unexpectedly and is started again (it was "
                                       "ended by signal 9).")  # fmt: skip
        reopened = await page.recorded("notebookDocument/didOpen")
    assert restarted["kind"] == "starting"
    assert reopened["cellTextDocuments"][0]["text"] == "x = "


@async_test
async def test_server_that_always_fails_is_given_up_with_its_reason() -> None:
    async with opened_page([*RECORDER, "--fail"]) as page:
        stopped = await page.message("status", kind="stopped")
        starts = [message for message in page.received if message.get("kind") == "starting" and not message["message"]]
    assert "exit code 3; its last message: the weights are missing" in stopped["message"]
    assert len(starts) == 5


@async_test
async def test_missing_program_is_reported_with_what_to_do() -> None:
    async with opened_page(None) as page:
        assert "uv tool install" in (await page.message("status", kind="missing"))["message"]
    async with opened_page(["/no/such/program"]) as page:
        text = "/no/such/program cannot be started: No such file or directory."
        assert (await page.message("status", kind="missing"))["message"] == text


@async_test
async def test_malformed_messages_raise_and_change_nothing() -> None:
    async with opened_page(RECORDER) as page:
        page.show("x = ")
        await page.recorded("notebookDocument/didOpen")
        for malformed in ({"type": "unknown"}, {"type": "document", "document": "b.ipynb"}, {"type": "complete"}):
            with pytest.raises((KeyError, ValueError)):
                page.session.receive(malformed)
        with pytest.raises(KeyError):
            page.show(None, name="never-sent.ipynb")
        assert len(await page.items("a", 4)) == 1


def test_configured_command_is_used_before_installed_programs(tmp_path: Path) -> None:
    program = tmp_path / "starcoder-ls"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_command(["/opt/starcoder-ls", "serve"], str(tmp_path)) == ["/opt/starcoder-ls", "serve"]
    found = find_command([], str(tmp_path))
    assert found is not None
    assert found[1:] == ["serve"]


@pytest.mark.slow
@async_test
async def test_scripted_server_reads_the_cells_above(tmp_path: Path) -> None:
    engine = {"replies": {"def total_of_rows": ["total_of_rows(", "table)", "\n"]}}
    async with opened_page([*FAKE_SERVER_COMMAND, json.dumps(engine)], tmp_path) as page:
        page.show("def total_of_rows(table):\n    return sum(table)\n", "x = ", "")
        await page.message("status", kind="running", phase="ready")
        (item,) = await page.items("b", 4)
        assert item["text"] == "total_of_rows(table)"
        page.show(None, None, None, ids="bac")  # the cell is moved below the one that is completed
        assert [item["text"] for item in await page.items("b", 4)] == ["total_of_rows(table)"]
        page.show(None, ids="b")  # and then deleted
        assert [item["text"] for item in await page.items("b", 4)] == ["return 1"]


@pytest.fixture
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the socket of this test's daemon, which would answer other tests: it is killed after the test."""
    folder = tmp_path / "run"
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(folder))
    yield folder
    for process in daemons(folder):
        process.kill()


@pytest.mark.slow
@pytest.mark.usefixtures("runtime_folder")
@async_test
async def test_bundled_model_completes_a_name_of_an_earlier_cell(tmp_path: Path) -> None:
    async with opened_page(BUNDLED, tmp_path) as page:
        page.show("def total_of_rows(table):\n    return sum(table)\n", "table = [1, 2, 3]", "print(total_of_")
        await page.message("status", kind="running", phase="ready")
        (item,) = await page.items("c", len("print(total_of_"))
    assert item["text"].startswith("rows(")
