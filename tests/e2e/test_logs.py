"""What a session leaves in the log: secrets and control characters are planted wherever others write text."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import async_test, connect_client, wait_until_ready
from starcoder_ls.app import Server
from starcoder_ls.commands.support.log_file import EscapingFormatter
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import AdapterStatus
from starcoder_ls.lsp.client import Client, ResponseFailed
from starcoder_ls.settings import Adapter

CONTROL = "\x1b[31m\x07\x85\x9b\u2028\u202e\r\n2026-01-01 00:00:00 1 ERROR forged: "
SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
TEXT, OTHER_TEXT, ANSWER, KEY = "typed_by_the_user", "imported_by_the_user", "generated_by_the_model", "PlantedValue"
PLANTED = (SECRET, TEXT, OTHER_TEXT, ANSWER, KEY)
HOSTILE = f"{CONTROL}{SECRET}"


class FailingAdapters(ScriptedEngine):
    """Fails to attach the adapters whose path says so: with a message for the user, or unexpectedly."""

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if "invalid" in adapter.path:
            raise AdapterInvalid(f"{name} has {HOSTILE}.")
        if "crash" in adapter.path:
            raise RuntimeError(HOSTILE)
        return await super().attach(name, adapter)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """All log lines of all levels, as the log file has them."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(EscapingFormatter())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def workspace(folder: Path) -> Path:
    """A folder whose files and names are hostile. Returns the file that is opened."""
    (folder / f"helper{CONTROL}").mkdir()
    (folder / f"helper{CONTROL}" / ".gitignore").write_text("[a-" * 2000 + "\n" + "*a" * 2000 + SECRET)
    (folder / f"helper{CONTROL}" / "a.py").write_text("x = 1\n")
    (folder / "helper.py").write_text(f"def {OTHER_TEXT}(x):\n    token = '{SECRET}'\n    return x\n" * 20)
    (folder / f"odd{CONTROL}name.py").write_text(f"{OTHER_TEXT} = 1\n" * 20)
    return folder / f"app{CONTROL}.py"


def document(uri: str, **more: Any) -> dict[str, Any]:
    return {"textDocument": {"uri": uri, **more}}


async def try_request(client: Client, method: str, params: Any) -> None:
    try:
        await client.request(method, params)
    except ResponseFailed:
        return


async def drive(client: Client, folder: Path) -> None:
    """Every kind of message, valid and invalid, with planted values."""
    file = workspace(folder)
    uri, text = file.as_uri(), f"import helper\npassword = '{SECRET}'\n{TEXT} = "
    options = {
        "adapters": {
            "invalid": {"path": f"/invalid{HOSTILE}"},
            "good": {"path": "/good", "tasks": ["explain"]},
        },
        "context": {"ignore": [f"*{HOSTILE}*"]},
    }
    capabilities = {"window": {"workDoneProgress": True}, "workspace": {"applyEdit": True}}
    await client.request(
        "initialize",
        {
            "processId": None,
            "clientInfo": {"name": HOSTILE, "version": CONTROL},
            "workspaceFolders": [{"uri": folder.as_uri(), "name": HOSTILE}],
            "initializationOptions": options,
            "capabilities": capabilities,
        },
    )
    client.notify("initialized", {})
    await wait_until_ready(client)
    client.open(uri, text)
    client.open(f"untitled:{KEY}%0A{SECRET}", text, language=f"py{HOSTILE}")
    for _ in range(2):
        cursor = {"position": {"line": 2, "character": len(TEXT) + 3}, "context": {"triggerKind": 1}}
        await try_request(client, "textDocument/inlineCompletion", {**document(uri), **cursor})
    insert = {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 0}}
    client.change(uri, 2, {"range": insert, "text": SECRET})
    await try_request(client, "textDocument/inlineCompletion", {**document(uri), "position": HOSTILE})
    await try_request(client, f"no/{HOSTILE}", {"x": SECRET})
    arguments = [{"uri": uri, "range": {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 3}}}]
    for command in ("starcoder.explain", "starcoder.act", HOSTILE):
        await try_request(client, "workspace/executeCommand", {"command": command, "arguments": arguments})
    for method in ("starcoder/prompt", "textDocument/completion", "textDocument/codeAction"):
        position = {"line": 2, "character": 1}
        range_ = {"start": position, "end": position}
        context = {"diagnostics": [{"range": range_, "message": HOSTILE}], "triggerKind": 1}
        await try_request(client, method, {**document(uri), "position": position, "range": range_, "context": context})
    client.send_bytes(b'Content-Length: 10\r\n\r\n{"a" : %b' % KEY.encode()[:3])
    client.send({"jsonrpc": "2.0", "id": 99, "error": {"code": 1, "message": HOSTILE}})
    client.send({"jsonrpc": "2.0", "id": {HOSTILE: 1}, "method": "x"})
    client.send([HOSTILE])
    hostile_adapters = {"adapters": {f"bad{CONTROL}": {"path": "/invalid"}, "crash": {"path": f"/crash{HOSTILE}"}}}
    for settings in (
        hostile_adapters,
        {HOSTILE: KEY},
        {"log": HOSTILE},
        {"context": {"ignore": ["[" * 3000]}},
        {"model": {"name": KEY}},
    ):
        client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": settings}})
    client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": uri, "type": 2}, {"uri": HOSTILE}]})
    client.change(uri, 3, {"range": {"start": {"line": 1, "character": 9000}, "end": {"line": 0}}, "text": SECRET})
    client.notify("$/setTrace", {"value": "verbose"})
    await try_request(client, "starcoder/stats", {})
    client.notify("textDocument/didClose", document(uri))


@pytest.mark.parametrize("is_failing", [False, True])
@async_test
async def test_log_has_no_text_no_secret_and_no_control_character(
    stream: io.StringIO, tmp_path: Path, is_failing: bool
) -> None:
    error = RuntimeError(f"{HOSTILE} {TEXT}") if is_failing else None
    engine = FailingAdapters(scripts=[[ANSWER, f" = '{SECRET}'", CONTROL, "\n"]], error=error)
    async with connect_client(Server(lambda _: engine, SCRIPTED_SETTINGS)) as client:
        await drive(client, tmp_path)
    written = stream.getvalue()
    lines = written.split("\n")
    assert len(lines) > 10
    # Not the lines about ignore files and the index: whether a thread writes them before the settings change varies.
    expected = ["client: ", "no method", *(["RuntimeError"] if is_failing else [])]
    assert [text for text in expected if text not in written] == []
    assert [line for line in lines if not line.isprintable()] == []
    for value in PLANTED:
        assert [line for line in lines if value in line] == [], value
