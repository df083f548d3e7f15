from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes import ScriptedEngine, UserFacingError
from harness import URI, async_test, initialized_client, notifications_of
from starcoder_ls import app
from starcoder_ls.errors import EngineNotReady, OutOfMemory
from starcoder_ls.lsp.client import ResponseFailed

SOURCE = "password = 'hunter2'"


def test_importing_the_server_imports_no_torch_or_transformers() -> None:
    code = (
        "import sys, starcoder_ls.app, starcoder_ls.lsp.stdio, starcoder_ls.lsp.tcp\n"
        "print({'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(Path(app.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"


def test_lsp_client_imports_no_protocol_libraries() -> None:
    code = "import sys, starcoder_ls.lsp.client\nprint({'pygls', 'lsprotocol'} & set(sys.modules))"
    environment = {"PYTHONPATH": str(Path(app.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "error", [OutOfMemory("No room. Close something."), UserFacingError("Not today. Ask tomorrow.")]
)
@async_test
async def test_known_error_is_a_message_if_invoked_and_null_while_typing(error: Exception) -> None:
    async with initialized_client(ScriptedEngine(error=error)) as client:
        client.open(URI, SOURCE)
        assert await client.inline_completion(URI, 0, 0) is None
        with pytest.raises(ResponseFailed) as caught:
            await client.inline_completion(URI, 0, 0, is_invoked=True)
        assert (caught.value.code, caught.value.message) == (-32803, str(error))
        assert not notifications_of(client, "window/showMessage")


@async_test
async def test_engine_not_ready_during_a_request_gives_null() -> None:
    async with initialized_client(ScriptedEngine(error=EngineNotReady("Not yet. Wait."))) as client:
        client.open(URI, SOURCE)
        assert await client.inline_completion(URI, 0, 0, is_invoked=True) is None


@async_test
async def test_unexpected_error_is_logged_with_location_but_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with initialized_client(ScriptedEngine(error=KeyError(SOURCE))) as client:
        client.open(URI, SOURCE)
        with pytest.raises(ResponseFailed) as caught:
            await client.inline_completion(URI, 0, 0, is_invoked=True)
        assert caught.value.code == -32603
        assert SOURCE not in caught.value.message
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "KeyError" in line
    assert "fakes.py:" in line
    assert "textDocument/inlineCompletion" in line
    assert SOURCE not in caplog.text
    assert "hunter2" not in caplog.text


@async_test
async def test_failing_notification_handler_is_logged_and_nothing_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(app.NOTIFICATIONS, "textDocument/didSave", app.NotificationHandler(fail))
    async with initialized_client(ScriptedEngine()) as client:
        client.notify("textDocument/didSave", {})
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
        assert not client.notifications
