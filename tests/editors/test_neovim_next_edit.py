"""Next edits in a headless Neovim: the plug-in's own display, and sidekick.nvim if ``SIDEKICK`` names a checkout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from neovim import Editor, fake_server, lua, running

CODE = [
    "def load(path):",
    "    return path",
    "",
    "",
    "first = load(1)",
    "second = [load(2)]",
    *["# -"] * 100,
    "third = load(3)",
]
MARKS = """(function()
  local ns, found = vim.api.nvim_get_namespaces()[{namespace}], {}
  for _, mark in ipairs(ns and vim.api.nvim_buf_get_extmarks(0, ns, 0, -1, {details = true}) or {}) do
    for _, text in ipairs(mark[4].virt_text or {}) do table.insert(found, (mark[2] + 1) .. ':' .. text[1]) end
  end
  return found
end)()"""
OWN = MARKS.replace("{namespace}", "'starcoder.next_edit'")
SIDEKICK = MARKS.replace("{namespace}", "'sidekick.ui'")

pytestmark = pytest.mark.slow


def open_editor(folder: Path, options: str, init: str = "") -> Iterator[Editor]:
    (folder / "app.py").write_text("\n".join(CODE) + "\n")
    setup = f"require('starcoder').setup({{ cmd = {lua(fake_server())}, maps = true, {options} }})\n"
    with running(folder, folder / "app.py", init + setup) as editor:
        editor.show_screen(80, 24)
        editor.wait_until_ready()
        yield editor


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    """With the plug-in's own display."""
    yield from open_editor(tmp_path, "next_edit = true")


def rename(editor: Editor) -> None:
    editor.type("ggwcwread<Esc>")


def test_tab_applies_the_next_edit_and_then_goes_to_a_distant_one(editor: Editor) -> None:
    rename(editor)
    editor.wait(f"vim.tbl_contains({OWN}, '5:read')")
    assert editor.lines()[4] == "first = load(1)"
    editor.type("<Tab>")
    editor.wait(f"vim.api.nvim_get_current_line() == 'first = read(1)' and vim.tbl_contains({OWN}, '6:read')")
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_get_current_line() == 'second = [read(2)]'")
    editor.wait(f"vim.tbl_contains({OWN}, '6: next edit in line 107: <Tab>')")
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_win_get_cursor(0)[1] == 107")
    assert editor.lines()[106] == "third = load(3)"
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_get_current_line() == 'third = read(3)'")
    editor.wait(f"#{OWN} == 0 and vim.fn.maparg('<Tab>', 'n') == ''")
    editor.type("u")
    editor.wait("vim.api.nvim_get_current_line() == 'third = load(3)'")


def test_dismissed_edit_is_gone_and_not_offered_again(editor: Editor) -> None:
    rename(editor)
    editor.wait(f"vim.tbl_contains({OWN}, '5:read')")
    editor.type("<Esc>")
    editor.wait(f"#{OWN} == 0")
    editor.type("Gox = 1<Esc>")
    editor.wait(f"vim.tbl_contains({OWN}, '107:read')")  # the nearest one now
    editor.type("gg")
    editor.type("wwx")
    editor.wait(f"#{OWN} > 0 and not vim.tbl_contains({OWN}, '5:read')")


def test_typing_removes_the_edit_and_its_keys(editor: Editor) -> None:
    rename(editor)
    editor.wait(f"vim.tbl_contains({OWN}, '5:read')")
    editor.type("o")
    editor.wait(f"#{OWN} == 0 and vim.fn.maparg('<Tab>', 'n') == ''")


def test_keys_of_the_user_work_again_after_the_edit(editor: Editor) -> None:
    editor.run_lua("vim.keymap.set('n', '<Tab>', function() pressed = 'Tab' end, { buffer = 0, desc = 'mine' })")
    editor.run_lua("vim.keymap.set('n', '<Esc>', ':let g:pressed = 1<CR>', { buffer = 0, silent = true })")
    maps = "vim.tbl_map(function(key) return vim.fn.maparg(key, 'n') end, { '<Tab>', '<Esc>' })"
    before = editor.lua("vim.fn.maparg('<Tab>', 'n', false, true).desc"), editor.lua(maps)[1]
    rename(editor)
    editor.wait(f"vim.tbl_contains({OWN}, '5:read')")
    assert editor.lua("vim.fn.maparg('<Tab>', 'n', false, true).desc") != before[0]
    editor.type("<Esc>")
    editor.wait(f"#{OWN} == 0")
    assert (editor.lua("vim.fn.maparg('<Tab>', 'n', false, true).desc"), editor.lua(maps)[1]) == before
    editor.type("<Tab><Esc>")
    editor.wait("pressed == 'Tab' and vim.g.pressed == 1")


def test_sidekick_shows_and_applies_the_next_edit(tmp_path: Path) -> None:
    plugin = os.environ.get("SIDEKICK")
    if not plugin:
        pytest.skip("SIDEKICK names no checkout of sidekick.nvim")
    init = f"vim.opt.runtimepath:append({lua(plugin)})\nrequire('sidekick').setup({{}})\n"
    for editor in open_editor(tmp_path, "next_edit = 'sidekick'", init):
        assert editor.lua("vim.lsp.get_clients()[1].name") == "starcoder_copilot"
        rename(editor)
        editor.wait("require('sidekick.nes').have()")
        assert any("read" in mark for mark in editor.wait(f"#{SIDEKICK} > 0 and {SIDEKICK}"))
        for line in (5, 6, 107):
            editor.wait(f"require('sidekick.nes').have() and require('sidekick.nes')._edits[1].from[1] == {line - 1}")
            editor.lua("require('sidekick').nes_jump_or_apply()")  # to the edit
            editor.lua("require('sidekick').nes_jump_or_apply()")
            editor.wait(f"vim.fn.getline({line}):find('read') ~= nil")
        assert "load" not in "\n".join(editor.lines())
