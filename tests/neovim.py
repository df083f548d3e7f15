"""A real Neovim with our plug-in, headless, driven through pynvim. `NVIM` names one that is not on the path."""

from __future__ import annotations

import contextlib
import json
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

from harness import FAKE_SERVER_COMMAND

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "editors" / "neovim"
BUNDLED_SERVER = [sys.executable, "-m", "starcoder_ls", "serve"]
GHOST = """(function()
  local ns = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  local marks = ns and vim.api.nvim_buf_get_extmarks(0, ns, 0, -1, {details = true}) or {}
  if not marks[1] then return '' end
  local lines = { marks[1][4].virt_text and marks[1][4].virt_text[1][1] or '' }
  for _, line in ipairs(marks[1][4].virt_lines or {}) do table.insert(lines, line[1][1]) end
  return table.concat(lines, '\\n')
end)()"""
INIT = """
vim.opt.runtimepath:append({plugin})
vim.opt.swapfile = false
questions = {{}}  -- without a screen `confirm` answers by itself; this one tells what it was asked
vim.fn.confirm = function(question) table.insert(questions, question) return 1 end
"""


def binary() -> str:
    """Skips without Neovim 0.12 or newer."""
    found = os.environ.get("NVIM") or shutil.which("nvim")
    if not found:
        pytest.skip("no Neovim on the path, and NVIM names none: `make test-editors` installs one")
    version = re.search(r"v0\.(\d+)", subprocess.run([found, "--version"], capture_output=True, text=True).stdout)
    if not version or int(version[1]) < 12:
        pytest.skip("Neovim is older than 0.12")
    return found


def fake_server(**engine: object) -> list[str]:
    """The command of a real server process around a scripted engine."""
    return [*FAKE_SERVER_COMMAND, json.dumps(engine)]


def lua(value: object) -> str:
    """``value`` as a Lua literal."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"[{lua(key)}] = {lua(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "{ " + ", ".join(lua(item) for item in value) + " }"
    return json.dumps(value, ensure_ascii=False)


@contextlib.contextmanager
def running(place: Path, file: Path, init: str) -> Iterator[Editor]:
    """Neovim on ``file``, with the plug-in on its path and ``init`` as the user's own init.lua."""
    pynvim = pytest.importorskip("pynvim")
    config = place / "init.lua"
    config.write_text(INIT.format(plugin=lua(str(PLUGIN))) + init)
    nvim = pynvim.attach("child", argv=[binary(), "--embed", "--headless", "-u", str(config), str(file)])
    try:
        yield Editor(nvim)
    finally:
        with contextlib.suppress(EOFError, OSError):  # it quits: that closes the channel
            nvim.command("qa!")
        nvim.close()


class Editor:
    def __init__(self, nvim: Any) -> None:
        self.nvim = nvim

    def lua(self, expression: str, *given: object) -> Any:
        return self.nvim.exec_lua(f"return {expression}", *given)

    def do(self, statement: str, *given: object) -> None:
        self.nvim.exec_lua(statement, *given)

    def type(self, keys: str) -> None:
        self.nvim.input(keys)

    def wait(self, expression: str, seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.lua(expression):
                return value
            time.sleep(0.02)
        raise AssertionError(f"after {seconds} s not {expression}; {self.messages()}")

    def until_ready(self, seconds: float = 120.0) -> None:
        self.wait("#vim.lsp.get_clients() > 0 and vim.lsp.get_clients()[1].initialized", seconds)
        asked = "vim.lsp.get_clients()[1]:request_sync('starcoder/status', vim.empty_dict(), 1000)"
        self.wait(f"(function() local told = {asked} return told and told.result.phase == 'ready' end)()", seconds)

    def ghost(self) -> str:
        return str(self.lua(GHOST))

    def wait_for_ghost(self, text: str | None = None, seconds: float = 20.0) -> str:
        wanted = f"{GHOST} == {lua(text)}" if text is not None else f"{GHOST} ~= ''"
        self.wait(wanted, seconds)
        return self.ghost()

    def lines(self, buffer: int = 0) -> list[str]:
        return list(self.nvim.api.buf_get_lines(buffer, 0, -1, False))

    def messages(self) -> str:
        return str(self.lua("vim.fn.execute('messages')")).strip()
