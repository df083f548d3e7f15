"""Code actions in a real Neovim, headless, against a real server process that replays recorded answers. Skipped
without Neovim 0.12 or newer, as in test_neovim.py."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER

pynvim = pytest.importorskip("pynvim")

ROOT = Path(__file__).parents[2]
CODE = ["import os", "", "", "def add(a, b):", "    return a + b", "", "", "print(add(1, 2))"]
DESCRIBED = [*CODE[:4], '    """Add two numbers."""', *CODE[4:]]
REPLIES = {
    "Write a docstring": ["Add ", "two numbers."],
    "Explain": ["It **adds** ", "`a` and ", "`b`.", "\n<img src=x>"],
    "use a generator": ["```python\ndef add(*", "numbers):\n    return sum(numbers)\n```"],
}
INIT = """
vim.opt.runtimepath:append({plugin!r})
vim.lsp.config("starcoder_ls", {{
  cmd = {cmd},
  init_options = {{ adapters = {{ astraios = {{ path = "bigcode/astraios-7b-parallel" }} }} }},
}})
vim.lsp.enable("starcoder_ls")
offered, wanted = {{}}, nil
vim.ui.select = function(items, options, choose)
  offered = vim.tbl_map(options.format_item, items)
  for _, item in ipairs(items) do
    if vim.startswith(item.action.title, wanted) then return choose(item) end
  end
end
questions = {{}}  -- without a screen `confirm` answers by itself; this one tells what it was asked
vim.fn.confirm = function(question) table.insert(questions, question) return 1 end
vim.ui.input = function(_, answer) answer("use a generator") end
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
    engine = json.dumps({"adapters": ["astraios"], "replies": REPLIES, "token_s": 0.15})
    command = "{ " + ", ".join(json.dumps(word) for word in [*FAKE_SERVER, engine]) + " }"
    init = tmp_path / "init.lua"
    init.write_text(INIT.format(plugin=str(ROOT / "editors" / "neovim"), cmd=command))
    file = tmp_path / "sums.py"
    file.write_text("\n".join(CODE) + "\n")
    nvim = pynvim.attach("child", argv=[neovim(), "--embed", "--headless", "-u", str(init), str(file)])
    try:
        wait(nvim, "#vim.lsp.get_clients() > 0 and vim.lsp.get_clients()[1].initialized")
        wait(
            nvim,
            "vim.lsp.get_clients()[1]:request_sync('starcoder/status', vim.empty_dict(), 1000).result.phase == 'ready'",
        )
        yield nvim
    finally:
        with contextlib.suppress(EOFError, OSError):
            nvim.command("qa!")
        nvim.close()


def wait(nvim: Any, expression: str, seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := nvim.exec_lua("return " + expression):
            return value
        time.sleep(0.05)
    raise AssertionError(
        f"nothing after {seconds} s: {expression}; {nvim.exec_lua('return vim.fn.execute([[messages]])')}"
    )


def choose(nvim: Any, title: str) -> list[str]:
    """Select the function, ask for actions, take the one called ``title``; what was offered."""
    nvim.exec_lua("wanted = ...", title)
    nvim.input("4GVj")
    wait(nvim, "vim.api.nvim_get_mode().mode == 'V'")
    nvim.exec_lua("vim.lsp.buf.code_action()")
    wait(nvim, "#offered > 0")
    nvim.input("<Esc>")
    return list(nvim.exec_lua("return offered"))


@pytest.mark.slow
def test_write_docstring_inserts_one_that_one_undo_takes_back(editor: Any) -> None:
    offered = choose(editor, "Write docstring")
    assert offered == ["Explain", "Write docstring", "Write tests", "Simplify", "Rewrite …", "Ask …"]
    wait(editor, "vim.api.nvim_buf_line_count(0) == 9")
    assert editor.current.buffer[:] == DESCRIBED
    assert editor.exec_lua("return questions") == ["Apply all changes?\nStarCoder: Write docstring: written by a model"]
    editor.input("u")
    wait(editor, "vim.api.nvim_buf_line_count(0) == 8")
    assert editor.current.buffer[:] == CODE


@pytest.mark.slow
def test_explain_shows_text_in_a_window_as_it_is_made(editor: Any) -> None:
    choose(editor, "Explain")
    shown = "table.concat(vim.api.nvim_buf_get_lines(vim.fn.winbufnr(2), 0, -1, false), '\\n')"
    wait(editor, "vim.fn.winnr('$') == 2")
    wait(editor, f"{shown} == 'It \\\\*\\\\*adds\\\\*\\\\*' or {shown} == 'It adds'")
    wait(editor, f"{shown} == 'It adds `a` and `b`.\\n\\\\<img src=x>'")
    assert editor.current.buffer[:] == CODE
    editor.command("2close")
    assert not editor.exec_lua("return vim.fn.execute('messages')").strip()


@pytest.mark.slow
def test_rewrite_asks_for_an_instruction(editor: Any) -> None:
    choose(editor, "Rewrite")
    wait(editor, "vim.api.nvim_buf_get_lines(0, 3, 5, false)[1] == 'def add(*numbers):'")
    assert editor.current.buffer[:] == [*CODE[:3], "def add(*numbers):", "    return sum(numbers)", *CODE[5:]]


@pytest.mark.slow
def test_what_is_typed_meanwhile_is_not_overwritten(editor: Any) -> None:
    choose(editor, "Write docstring")
    editor.current.buffer[0] = "import sys"
    wait(editor, "vim.fn.execute('messages'):find('changed meanwhile') ~= nil")
    assert editor.current.buffer[:] == ["import sys", *CODE[1:]]
