"""What is photographed in Neovim, with both values of 'background'."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neovim_screen import Screen, photograph_html
from screenshot_texts import (
    ADAPTERS,
    CANDIDATES,
    CANDIDATES_TYPED,
    FILE,
    METHOD,
    NEW_NAME,
    RENAMED,
    RENAMED_FILE,
    RENAMED_LINE,
    REPLIES,
    TEXT,
    TYPED,
)

import neovim

COLUMNS, ROWS = 88, 22
OPTIONS = """
vim.o.number, vim.o.laststatus, vim.o.termguicolors, vim.o.shortmess = true, 2, true, "I"
vim.o.statusline = " %f %m%=%{v:lua.require'starcoder'.statusline()}  %l:%c "
"""
NEXT_EDITS = """(function()
  local namespace = vim.api.nvim_get_namespaces()["starcoder.next_edit"]
  return namespace and #vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, {}) > 0
end)()"""

SIDEKICK_EDITS = NEXT_EDITS.replace("starcoder.next_edit", "sidekick.ui")


def setup(command: list[str], next_edit: str = "true") -> str:
    """The configuration of Neovim with this server; ``next_edit`` is Lua."""
    options = f"init_options = {{ adapters = {neovim.lua(ADAPTERS)} }}" if command != neovim.BUNDLED_SERVER else ""
    options = f"cmd = {neovim.lua(command)}, maps = true, next_edit = {next_edit}, {options}"
    return f"require('starcoder').setup({{ {options} }})\n{OPTIONS}"


BUNDLED_SETUP = setup(neovim.BUNDLED_SERVER)


@contextmanager
def opened(
    folder: Path, command: list[str], text: str = TEXT, file: str = FILE, configuration: str = ""
) -> Iterator[neovim.Editor]:
    folder.mkdir()
    (folder / file).write_text(text)
    with neovim.running(folder, folder / file, configuration or setup(command)) as editor:
        editor.nvim.command(f"cd {folder}")
        yield editor


def shoot(editor: neovim.Editor, target: Path, name: str) -> None:
    """Photograph the screen, dark and light."""
    for background in ("dark", "light"):
        editor.nvim.command(f"set background={background}")
        screen = Screen(editor.nvim, COLUMNS, ROWS)
        editor.nvim.ui_detach()
        photograph_html(screen.as_html(), target / f"neovim-{name}-{background}.png")


def photograph(target: Path, folder: Path) -> None:
    _suggestions(target, folder)
    _actions(target, folder)
    _states(target, folder)


def _suggestions(target: Path, folder: Path) -> None:
    with opened(folder / "ghost", neovim.BUNDLED_SERVER) as editor:
        editor.wait_until_ready()
        editor.type("Go" + TYPED.lstrip())
        print("Neovim:", editor.wait_for_ghost())
        time.sleep(0.5)
        shoot(editor, target, "ghost")
    with opened(folder / "candidates", neovim.fake_server(scripts=CANDIDATES)) as editor:
        editor.wait_until_ready()
        editor.type("Go" + CANDIDATES_TYPED.lstrip())
        editor.wait_for_ghost()
        editor.type("<M-]>")
        editor.wait_for_ghost("sides * length**2 / 4")
        shoot(editor, target, "candidates")


def _actions(target: Path, folder: Path) -> None:
    with opened(folder / "actions", neovim.fake_server(replies=REPLIES), TEXT + METHOD) as editor:
        editor.wait_until_ready()
        editor.show_screen(COLUMNS, ROWS)  # its size decides where the window of an explanation opens
        editor.nvim.command("normal! Gkk")
        editor.type(":Starcoder explain<CR>")
        editor.wait("vim.fn.search('product would do', 'nw') > 0")
        time.sleep(0.5)
        editor.nvim.ui_detach()
        shoot(editor, target, "explanation")
        editor.type("q:Starcoder simplify<CR>")
        editor.wait("vim.bo.filetype == 'diff'")
        shoot(editor, target, "diff")
    with opened(folder / "next-edit", neovim.fake_server(scripts=[["\n"]]), RENAMED, RENAMED_FILE) as editor:
        editor.wait_until_ready()
        editor.type(f"{RENAMED_LINE}Gwciw{NEW_NAME}<Esc>")
        editor.wait(NEXT_EDITS)
        shoot(editor, target, "next-edit")
    _sidekick(target, folder)


def _sidekick(target: Path, folder: Path) -> None:
    """The next edit as an unmodified sidekick.nvim shows it, if ``SIDEKICK`` names a checkout."""
    plugin = os.environ.get("SIDEKICK")
    if not plugin:
        return
    server = neovim.fake_server(scripts=[["\n"]])
    init = f"vim.opt.runtimepath:append({neovim.lua(plugin)})\nrequire('sidekick').setup({{}})\n"
    init += setup(server, next_edit="'sidekick'")
    with opened(folder / "sidekick", server, RENAMED, RENAMED_FILE, init) as editor:
        editor.wait_until_ready()
        editor.type(f"{RENAMED_LINE}Gwciw{NEW_NAME}<Esc>")
        editor.wait(SIDEKICK_EDITS)
        shoot(editor, target, "next-edit-sidekick")


def _states(target: Path, folder: Path) -> None:
    """Messages and lists, which disappear when the background is changed."""
    loading = neovim.fake_server(load_s=300.0, load_steps=100)
    missing = ["/no/such/starcoder-ls", "serve"]
    scenes = (
        ("loading", loading, ":Starcoder status<CR>", "weights", (COLUMNS, ROWS)),
        ("missing", missing, ":Starcoder restart<CR>", "no program", (COLUMNS, ROWS)),
        ("models", neovim.BUNDLED_SERVER, ":Starcoder model<CR>", "Type number", (COLUMNS + 20, 30)),
    )
    for name, command, keys, awaited, (columns, rows) in scenes:
        for background in ("dark", "light"):
            with opened(folder / f"{name}-{background}", command) as editor:
                editor.nvim.command(f"set background={background}")
                screen = Screen(editor.nvim, columns, rows)
                if command is loading:
                    editor.wait("require('starcoder').statusline():find('loading [1-9]') ~= nil")
                editor.type(keys)
                screen.wait_for(awaited)
                photograph_html(screen.as_html(), target / f"neovim-{name}-{background}.png")
                editor.type("<CR>")
