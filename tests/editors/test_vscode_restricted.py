"""An untrusted folder in VS Code may set how suggestions look, but not which program or model runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vscode as driver
from harness import FAKE_SERVER_COMMAND
from vscode import VSCode, wait

pytestmark = driver.MARKS


@pytest.fixture
def code(tmp_path: Path) -> Iterator[VSCode]:
    with driver.running(tmp_path) as vscode:
        yield vscode


def initialization_options(recording: Path) -> dict[str, Any]:
    """The options of the `initialize` request in the recorded bytes that VS Code wrote to the server."""
    body = recording.read_bytes().split(b"\r\n\r\n", 2)[1]
    message, _ = json.JSONDecoder().raw_decode(body.decode(errors="replace"))
    assert message["method"] == "initialize"
    options: dict[str, Any] = message["params"]["initializationOptions"]
    return options


def test_untrusted_folder_cannot_set_program_model_or_adapter(code: VSCode, tmp_path: Path) -> None:
    folder, recording, owned = tmp_path / "untrusted", tmp_path / "recording", tmp_path / "owned"
    (folder / ".vscode").mkdir(parents=True)
    (folder / "app.py").write_text("x = 1\n")
    program = folder / "starcoder-ls"
    program.write_text(f"#!/bin/sh\ntouch {owned}\n")
    program.chmod(0o755)
    (tmp_path / "starcoder-ls").symlink_to(program)  # where pipx installs programs: this server is found
    folder_settings = {
        "starcoder.server.command": [str(program), "serve"],
        "starcoder.model.name": "http://evil.example/v1",
        "starcoder.model.template": "evil",
        "starcoder.adapters": {"evil": {"path": "evil/adapter"}},
        "starcoder.actions": {"evil": {"title": "Evil", "instruction": "Evil"}},
        "starcoder.context.ignore": ["!.env*"],
        "starcoder.inline_completion.max_new_tokens": 7,
    }
    (folder / ".vscode" / "settings.json").write_text(json.dumps(folder_settings))
    recorded_server = ["sh", "-c", 'tee "$0" | "$@"', str(recording), *FAKE_SERVER_COMMAND, "{}"]
    code.write_user_settings(
        **{"security.workspace.trust.enabled": True, "security.workspace.trust.startupPrompt": "never"}
    )
    code.write_machine_settings(**{"starcoder.server.command": recorded_server, "starcoder.model.threads": 1})
    window = code.open(folder, "app.py")
    window.page.wait_for_selector('.statusbar-item:has-text("Restricted Mode")')
    window.wait_for_status("scripted")
    options = initialization_options(recording)
    assert options.pop("model") == {"threads": 1}
    assert options == {"inline_completion": {"max_new_tokens": 7}}, "only settings that any folder may set"
    assert not owned.exists()
    code.write_machine_settings()  # no command is set: the extension searches for a server
    window.wait_for_status("not installed")
    assert not owned.exists(), "a program inside the folder is not started"
    window.close()
    code.write_user_settings()  # in a trusted folder its program is found
    code.open(folder, "app.py")
    wait(owned.exists, "start of the program in the folder")
