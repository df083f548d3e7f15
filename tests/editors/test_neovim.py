"""A real Neovim, headless, with the real server and the bundled model. Skipped without Neovim 0.12 or newer:
`NVIM` names one that is not on the path."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pynvim = pytest.importorskip("pynvim")

ROOT = Path(__file__).parents[2]
GHOST = """
  local ns = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  local marks = ns and vim.api.nvim_buf_get_extmarks(0, ns, 0, -1, {details = true}) or {}
  return marks[1] and marks[1][4].virt_text and marks[1][4].virt_text[1][1] or nil
"""
INIT = """
vim.opt.runtimepath:append({plugin!r})
vim.lsp.config("starcoder_ls", {{ cmd = {{ {python!r}, "-m", "starcoder_ls", "serve", "--no-share" }} }})
vim.lsp.enable("starcoder_ls")
vim.lsp.inline_completion.enable()
vim.keymap.set("i", "<Tab>", function()
  if not vim.lsp.inline_completion.get() then return "<Tab>" end
end, {{ expr = true }})
"""


def neovim() -> str:
    found = os.environ.get("NVIM") or shutil.which("nvim")
    if not found:
        pytest.skip("no Neovim on the path, and NVIM names none")
    version = re.search(r"v0\.(\d+)", subprocess.run([found, "--version"], capture_output=True, text=True).stdout)
    if not version or int(version[1]) < 12:
        pytest.skip("Neovim is older than 0.12")
    return found


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Any]:
    init = tmp_path / "init.lua"
    init.write_text(INIT.format(plugin=str(ROOT / "editors" / "neovim"), python=sys.executable))
    file = tmp_path / "shapes.py"
    file.write_text(
        "import argparse\n\n\ndef main():\n    parser = argparse.ArgumentParser()\n    args = parser.parse_args()\n"
    )
    binary = neovim()
    nvim = pynvim.attach("child", argv=[binary, "--embed", "--headless", "-u", str(init), str(file)])
    try:
        wait(nvim, "#vim.lsp.get_clients() > 0 and vim.lsp.get_clients()[1].initialized")
        wait(
            nvim,
            "vim.lsp.get_clients()[1]:request_sync('starcoder/status', vim.empty_dict(), 1000).result.phase == 'ready'",
        )
        yield nvim
    finally:
        with contextlib.suppress(EOFError, OSError):  # it quits: that closes the channel
            nvim.command("qa!")
        nvim.close()


def wait(nvim: Any, expression: str, seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := nvim.exec_lua("return " + expression):
            return value
        time.sleep(0.05)
    raise AssertionError(f"nothing after {seconds} s: {expression}")


@pytest.mark.slow
def test_ghost_text_appears_and_tab_accepts_it(editor: Any) -> None:
    ghost, typed = None, ""
    for keys in ("Go    print(", "<Esc>ccfor name in ", "<Esc>ccif args.", "<Esc>ccreturn ", "<Esc>ccself."):
        editor.input(keys)
        typed = keys
        try:
            ghost = wait(editor, f"(function() {GHOST} end)()", 5.0)
            break
        except AssertionError:
            continue  # a small model may have nothing to say here
    assert ghost, f"no ghost text after {typed}"
    before = editor.current.buffer[:]
    editor.input("<Tab>")
    wait(editor, f"table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n') ~= {lua(before)}", 5.0)
    after = editor.current.buffer[:]
    line = editor.current.window.cursor[0] - 1
    assert "\n".join(after).startswith("\n".join(before[:6]))
    assert ghost.split("\n")[0] in "\n".join(after[line - ghost.count("\n") :]) or ghost in "\n".join(after)


def lua(lines: list[str]) -> str:
    quoted = "\n".join(lines).replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{quoted}'"
