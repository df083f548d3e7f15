"""Two headless Neovims share one daemon: one quits, the daemon is killed, and ghost text still appears."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from isolation import isolated_environment
from neovim import BUNDLED_SERVER, Editor, lua, running

CODE = "import argparse\n\n\ndef main():\n    parser = argparse.ArgumentParser()\n"
BEGINNINGS = ("print(", "for name in ", "args = ", "return ", "self.")

pytestmark = pytest.mark.slow


@pytest.fixture
def editors(tmp_path: Path) -> Iterator[list[Editor]]:
    file = tmp_path / "shapes.py"
    file.write_text(CODE)
    setup = f"require('starcoder').setup({{ cmd = {lua(BUNDLED_SERVER)}, maps = true }})\n"
    with isolated_environment(), contextlib.ExitStack() as stack:
        started = [stack.enter_context(running(tmp_path, file, setup)) for _ in range(2)]
        for editor in started:
            editor.wait_until_ready()
            editor.type("Go")
        yield started


def daemon_status() -> dict[str, Any]:
    """The entry of the only daemon in `starcoder-ls ps --json`."""
    done = subprocess.run([sys.executable, "-m", "starcoder_ls", "ps", "--json"], capture_output=True, check=True)
    (daemon,) = json.loads(done.stdout)
    status: dict[str, Any] = daemon
    return status


def wait_for_any_ghost(editor: Editor, seconds: float = 10.0) -> None:
    """Type several beginnings until ghost text appears: the small model has no suggestion for some of them."""
    for beginning in BEGINNINGS:
        editor.type(f"<Esc>0C    {beginning}")
        with contextlib.suppress(AssertionError):
            editor.wait_for_ghost(seconds=seconds)
            return
    raise AssertionError(f"no ghost text after any of {BEGINNINGS}; {editor.messages()}")


def test_second_editor_completes_after_daemon_was_killed(editors: list[Editor]) -> None:
    first, second = editors
    wait_for_any_ghost(first)
    shared = daemon_status()
    assert shared["sharing"]["windows"] == 2
    with contextlib.suppress(EOFError, OSError):  # quitting closes the channel
        first.nvim.command("qa!")
    wait_for_any_ghost(second)
    assert daemon_status()["sharing"]["windows"] == 1
    second.type("<Esc>0D")
    second.wait("vim.api.nvim_get_current_line() == ''")
    psutil.Process(shared["process"]).kill()
    wait_for_any_ghost(second, seconds=60.0)
    assert daemon_status()["process"] != shared["process"]
    assert second.lua("#vim.lsp.get_clients()") == 1
