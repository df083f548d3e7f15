"""Drives a headless Neovim with the plug-in through pynvim. `NVIM` names a program that is not on the PATH."""

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

ROOT = Path(__file__).parents[2]
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
confirmations = {{}}  -- headless, `confirm` returns at once; this one records its messages
vim.fn.confirm = function(message) table.insert(confirmations, message) return 1 end
"""


def find_neovim() -> str:
    """The program of Neovim 0.12 or newer; skips the test without one."""
    found = os.environ.get("NVIM") or shutil.which("nvim")
    if not found:
        pytest.skip("no Neovim on the path, and NVIM names none: `make test-editors` installs one")
    version = re.search(r"v0\.(\d+)", subprocess.run([found, "--version"], capture_output=True, text=True).stdout)
    if not version or int(version[1]) < 12:
        pytest.skip("Neovim is older than 0.12")
    return found


def fake_server(**engine: object) -> list[str]:
    """The command of a server process with a scripted engine."""
    return [*FAKE_SERVER_COMMAND, json.dumps(engine)]


def lua(value: object) -> str:
    """``value`` as a Lua literal."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"[{lua(key)}] = {lua(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "{ " + ", ".join(lua(item) for item in value) + " }"
    return json.dumps(value, ensure_ascii=False)


@contextlib.contextmanager
def running(folder: Path, file: Path, init: str) -> Iterator[Editor]:
    """Neovim with ``file`` open and the plug-in in its runtimepath; ``init`` goes into an init.lua in ``folder``."""
    pynvim = pytest.importorskip("pynvim")
    config = folder / "init.lua"
    config.write_text(INIT.format(plugin=lua(str(PLUGIN))) + init)
    nvim = pynvim.attach("child", argv=[find_neovim(), "--embed", "--headless", "-u", str(config), str(file)])
    try:
        yield Editor(nvim)
    finally:
        with contextlib.suppress(EOFError, OSError):  # quitting closes the channel
            nvim.command("qa!")
        nvim.close()


class Editor:
    """A running Neovim."""

    def __init__(self, nvim: Any) -> None:
        self.nvim = nvim

    def lua(self, expression: str, *arguments: object) -> Any:
        """The value of a Lua expression."""
        return self.nvim.exec_lua(f"return {expression}", *arguments)

    def run_lua(self, statement: str, *arguments: object) -> None:
        self.nvim.exec_lua(statement, *arguments)

    def type(self, keys: str) -> None:
        self.nvim.input(keys)

    def show_screen(self, columns: int, rows: int) -> None:
        """Attach a screen: without one, Neovim never asks to press Enter after a long message."""
        self.nvim.ui_attach(columns, rows, rgb=True, ext_linegrid=True)

    def is_blocked(self) -> bool:
        """Whether Neovim waits for a key, such as Enter after a long message."""
        return bool(self.nvim.api.get_mode()["blocking"])

    def wait_for_message(self, part: str, seconds: float = 60.0) -> None:
        """Wait until a message contains ``part``; the test fails if a key must be pressed to continue."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.is_blocked():
                self.type("<CR>" * 20)
                raise AssertionError("Neovim waits for Enter after a message")
            if part in self.messages():
                return
            time.sleep(0.05)
        raise AssertionError(f"no message {part!r}; messages: {self.messages()}")

    def wait(self, expression: str, seconds: float = 60.0) -> Any:
        """Wait until a Lua expression is truthy; its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.lua(expression):
                return value
            time.sleep(0.02)
        raise AssertionError(f"{expression} was still false after {seconds} s; messages: {self.messages()}")

    def wait_until_ready(self, seconds: float = 120.0) -> None:
        self.wait("#vim.lsp.get_clients() > 0 and vim.lsp.get_clients()[1].initialized", seconds)
        request = "vim.lsp.get_clients()[1]:request_sync('starcoder/status', vim.empty_dict(), 1000)"
        self.wait(
            f"(function() local answer = {request} return answer and answer.result.phase == 'ready' end)()", seconds
        )

    def ghost(self) -> str:
        """The ghost text on the screen, or an empty text."""
        return str(self.lua(GHOST))

    def wait_for_ghost(self, text: str | None = None, seconds: float = 60.0) -> str:
        condition = f"{GHOST} == {lua(text)}" if text is not None else f"{GHOST} ~= ''"
        self.wait(condition, seconds)
        return self.ghost()

    def lines(self, buffer: int = 0) -> list[str]:
        return list(self.nvim.api.buf_get_lines(buffer, 0, -1, False))

    def messages(self) -> str:
        return str(self.lua("vim.fn.execute('messages')")).strip()
