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

pynvim = pytest.importorskip("pynvim")

from editors.test_neovim import GHOST, INIT, ROOT, neovim, wait  # noqa: E402

READY = "vim.lsp.get_clients()[1]:request_sync('starcoder/status', vim.empty_dict(), 1000).result.phase == 'ready'"


@pytest.fixture
def editors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / "run"))
    init = tmp_path / "init.lua"
    text = INIT.format(plugin=str(ROOT / "editors" / "neovim"), python=sys.executable)
    init.write_text(text.replace(', "--no-share"', ""))
    file = tmp_path / "shapes.py"
    file.write_text("import argparse\n\n\ndef main():\n    parser = argparse.ArgumentParser()\n    args = parser\n")
    binary = neovim()
    started = []
    for _ in range(2):
        argv = [binary, "--embed", "--headless", "-n", "-u", str(init), str(file)]
        started.append(pynvim.attach("child", argv=argv))
    try:
        for nvim in started:
            wait(nvim, "#vim.lsp.get_clients() > 0 and vim.lsp.get_clients()[1].initialized")
            wait(nvim, READY)
        yield started
    finally:
        for nvim in started:
            with contextlib.suppress(EOFError, OSError):
                nvim.command("qa!")
            nvim.close()
        subprocess.run([sys.executable, "-m", "starcoder_ls", "stop"], check=True, capture_output=True)


def resident() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "starcoder_ls", "ps", "--json"], capture_output=True, check=True)
    (only,) = json.loads(done.stdout)
    answer: dict[str, Any] = only
    return answer


def ghost(nvim: Any, *tries: str, seconds: float = 5.0) -> str:
    """Type until the model has something to say; it is small."""
    for keys in tries:
        nvim.input(keys)
        with contextlib.suppress(AssertionError):
            return str(wait(nvim, f"(function() {GHOST} end)()", seconds))
    raise AssertionError(f"no ghost text after any of {tries}")


@pytest.mark.slow
def test_one_quits_the_process_is_killed_and_the_other_completes(editors: list[Any]) -> None:
    first, second = editors
    assert ghost(first, "Go    print(", "<Esc>ccfor name in ", "<Esc>ccif args.", "<Esc>ccreturn ")
    shared = resident()
    assert shared["sharing"]["windows"] == 2
    with contextlib.suppress(EOFError, OSError):
        first.command("qa!")
    tries = ("Go    print(", "<Esc>ccfor name in ", "<Esc>ccif args.", "<Esc>ccreturn ")
    assert ghost(second, *tries)
    assert resident()["sharing"]["windows"] == 1
    second.input("<Esc>")
    psutil.Process(shared["process"]).kill()
    assert ghost(second, *(f"<Esc>cc{keys.removeprefix('<Esc>cc').removeprefix('Go')}" for keys in tries), seconds=25.0)
    assert resident()["process"] != shared["process"]
    assert second.exec_lua("return #vim.lsp.get_clients()") == 1
