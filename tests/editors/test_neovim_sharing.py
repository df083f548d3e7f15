"""Two real Neovims and one resident process: one quits, the process is killed, and ghost text comes all the same."""

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
            editor.until_ready()
            editor.type("Go")
        yield started


def resident() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "starcoder_ls", "ps", "--json"], capture_output=True, check=True)
    (only,) = json.loads(done.stdout)
    answer: dict[str, Any] = only
    return answer


def wait_for_any_ghost(editor: Editor, seconds: float = 5.0) -> None:
    """Whatever the model says behind one of some beginnings; it is small, and may have nothing to say to each."""
    for beginning in BEGINNINGS:
        editor.type(f"<Esc>0C    {beginning}")
        with contextlib.suppress(AssertionError):
            editor.wait_for_ghost(seconds=seconds)
            return
    raise AssertionError(f"no ghost text behind any of {BEGINNINGS}; {editor.messages()}")


def test_one_quits_the_process_is_killed_and_the_other_completes(editors: list[Editor]) -> None:
    first, second = editors
    wait_for_any_ghost(first)
    shared = resident()
    assert shared["sharing"]["windows"] == 2
    with contextlib.suppress(EOFError, OSError):  # it quits: that closes the channel
        first.nvim.command("qa!")
    wait_for_any_ghost(second)
    assert resident()["sharing"]["windows"] == 1
    second.type("<Esc>0D")
    second.wait("vim.api.nvim_get_current_line() == ''")
    psutil.Process(shared["process"]).kill()
    wait_for_any_ghost(second, seconds=25.0)
    assert resident()["process"] != shared["process"]
    assert second.lua("#vim.lsp.get_clients()") == 1
