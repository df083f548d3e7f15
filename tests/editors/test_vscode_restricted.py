"""A folder that nobody trusts, in a real VS Code: it may say how suggestions look, not which program or model runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vscode as driver
from harness import FAKE_SERVER_COMMAND
from vscode import VSCode, wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def code(tmp_path: Path) -> Iterator[VSCode]:
    with driver.running(tmp_path) as vscode:
        yield vscode


def overheard(said: Path) -> dict[str, Any]:
    """The options of the `initialize` request among the bytes that VS Code wrote to the server."""
    body = said.read_bytes().split(b"\r\n\r\n", 2)[1]
    message, _ = json.JSONDecoder().raw_decode(body.decode(errors="replace"))
    assert message["method"] == "initialize"
    options: dict[str, Any] = message["params"]["initializationOptions"]
    return options


def test_an_untrusted_folder_chooses_no_program_no_model_no_adapter(code: VSCode, tmp_path: Path) -> None:
    folder, said, owned = tmp_path / "stranger", tmp_path / "said", tmp_path / "owned"
    (folder / ".vscode").mkdir(parents=True)
    (folder / "app.py").write_text("x = 1\n")
    program = folder / "starcoder-ls"
    program.write_text(f"#!/bin/sh\ntouch {owned}\n")
    program.chmod(0o755)
    (tmp_path / "starcoder-ls").symlink_to(program)  # where pipx would put it: the server that is found
    strange = {
        "starcoder.server.command": [str(program), "serve"],
        "starcoder.model.name": "http://evil.example/v1",
        "starcoder.model.template": "evil",
        "starcoder.adapters": {"evil": {"path": "evil/adapter"}},
        "starcoder.actions": {"evil": {"title": "Evil", "instruction": "Evil"}},
        "starcoder.inline_completion.max_new_tokens": 7,
    }
    (folder / ".vscode" / "settings.json").write_text(json.dumps(strange))
    listening = ["sh", "-c", 'tee "$0" | "$@"', str(said), *FAKE_SERVER_COMMAND, "{}"]
    code.set_user(**{"security.workspace.trust.enabled": True, "security.workspace.trust.startupPrompt": "never"})
    code.set_machine(**{"starcoder.server.command": listening, "starcoder.model.threads": 1})
    window = code.open(folder, "app.py")
    window.page.wait_for_selector('.statusbar-item:has-text("Restricted Mode")')
    window.wait_for_status("scripted")
    options = overheard(said)
    assert options.pop("model") == {"threads": 1}
    assert options == {"inline_completion": {"max_new_tokens": 7}}, "only what every folder may say"
    assert not owned.exists()
    code.set_machine()  # no server is named: one is looked for
    window.wait_for_status("not installed")
    assert not owned.exists(), "a program inside the folder is not started"
    window.close()
    code.set_user()  # whoever trusts the folder has its program found
    code.open(folder, "app.py")
    wait(owned.exists, "start of the folder's own program")
