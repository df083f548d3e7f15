"""Code actions in a headless Neovim, with a server process that replays recorded answers.

Skipped without Neovim 0.12 or newer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from neovim import Editor, fake_server, lua, running

CODE = ["import os", "", "", "def add(a, b):", "    return a + b", "", "", "print(add(1, 2))"]
DESCRIBED = [*CODE[:4], '    """Add two numbers."""', *CODE[4:]]
REWRITTEN = [*CODE[:3], "def add(*numbers):", "    return sum(numbers)", *CODE[5:]]
REPLIES = {
    "Write a docstring": ["Add ", "two numbers."],
    "Explain": ["It **adds** ", "`a` and ", "`b`.", "\n<img src=x>"],
    "Line 2: a missing": ["```python\ndef add(a, b):\n    return sum((a, b))\n```"],
    "use a generator": ["```python\ndef add(*", "numbers):\n    return sum(numbers)\n```"],
    "Write tests": ["word "] * 100,
}
EXPLAINED = "It adds `a` and `b`.\n\\<img src=x>"
OFFERED = ["Explain", "Write docstring", "Write tests", "Simplify", "Rewrite …", "Ask …"]
INIT = """
require("starcoder").setup({{
  cmd = {cmd},
  init_options = {{ adapters = {{ astraios = {{ path = "bigcode/astraios-7b-parallel" }} }} }},
}})
offered, chosen_title = {{}}, nil
vim.ui.select = function(items, options, choose)
  offered = vim.tbl_map(options.format_item, items)
  for _, item in ipairs(items) do
    if vim.startswith(item.action.title, chosen_title) then return choose(item) end
  end
end
vim.ui.input = function(_, answer) answer("use a generator") end
"""
TEXT = "table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n')"
IS_FLOAT = "vim.api.nvim_win_get_config(0).relative == 'editor'"

pytestmark = pytest.mark.slow


@pytest.fixture
def editor(tmp_path: Path) -> Iterator[Editor]:
    file = tmp_path / "sums.py"
    file.write_text("\n".join(CODE) + "\n")
    command = fake_server(replies=REPLIES, token_s=0.15)
    with running(tmp_path, file, INIT.format(cmd=lua(command))) as editor:
        editor.wait("require('starcoder').statusline():find('astraios') ~= nil")
        yield editor


def code(editor: Editor) -> list[str]:
    return editor.lines(editor.lua("vim.fn.bufnr('sums.py')"))


def choose(editor: Editor, title: str) -> list[str]:
    """Select the function, open the code actions and choose the one called ``title``; the offered titles."""
    editor.run_lua("chosen_title = ...", title)
    editor.type("4GVj")
    editor.wait("vim.api.nvim_get_mode().mode == 'V'")
    editor.run_lua("vim.lsp.buf.code_action()")
    editor.wait("#offered > 0")
    editor.type("<Esc>")
    return list(editor.lua("offered"))


def previewed(editor: Editor) -> list[str]:
    """The lines of the preview, once it is shown."""
    editor.wait(f"{IS_FLOAT} and vim.bo.filetype == 'diff'")
    return str(editor.lua(TEXT)).split("\n")


def test_write_docstring_is_previewed_and_undone_in_one_step(editor: Editor) -> None:
    assert choose(editor, "Write docstring") == OFFERED
    assert previewed(editor)[3:5] == [" def add(a, b):", '+    """Add two numbers."""']
    assert code(editor) == CODE, "nothing is applied without confirmation"
    editor.type("<CR>")
    editor.wait("vim.api.nvim_buf_line_count(0) == 9")
    assert code(editor) == DESCRIBED
    assert not editor.lua("confirmations")
    editor.type("u")
    editor.wait("vim.api.nvim_buf_line_count(0) == 8")
    assert code(editor) == CODE


def test_explain_streams_text_into_a_floating_window(editor: Editor) -> None:
    choose(editor, "Explain")
    editor.wait(IS_FLOAT)
    editor.wait(f"vim.startswith({TEXT}, 'It ')")
    assert editor.lua(TEXT) != EXPLAINED, "the first words are shown before the last are written"
    editor.wait(f"{TEXT} == {lua(EXPLAINED)}")
    assert code(editor) == CODE
    editor.type("q")
    editor.wait("vim.fn.winnr('$') == 1")
    assert not editor.messages()


@pytest.mark.parametrize(("lines_above", "side"), [(0, "below"), (14, "above")])
def test_explanation_fits_its_text_and_leaves_the_code_visible(editor: Editor, lines_above: int, side: str) -> None:
    editor.run_lua("vim.o.lines, vim.o.columns = 24, 80")
    editor.nvim.current.buffer[0:0] = ["# above"] * lines_above
    editor.nvim.command(f"{lines_above + 5}")
    editor.nvim.command("Starcoder explain")
    editor.wait(f"{TEXT} == {lua(EXPLAINED)}")
    window = editor.lua("vim.api.nvim_win_get_config(0)")
    assert window["height"] == 2
    assert window["width"] < 60
    position, rows = editor.lua("vim.api.nvim_win_get_position(0)")[0], window["height"] + 2
    first = editor.lua(f"vim.fn.screenpos(vim.fn.bufwinid('sums.py'), {lines_above + 4}, 1).row") - 1
    assert position >= first + 2 if side == "below" else position + rows <= first


def test_explanation_can_be_copied_and_inserted_as_comment(editor: Editor) -> None:
    editor.nvim.command("5")
    editor.nvim.command("Starcoder explain")
    editor.wait(f"{TEXT} == {lua(EXPLAINED)}")
    editor.type("Y")
    editor.wait(f"vim.fn.getreg('\"') == {lua(EXPLAINED)} .. '\\n'")
    editor.type("gi")
    editor.wait("vim.fn.winnr('$') == 1")
    comment = [f"# {line}" for line in EXPLAINED.split("\n")]
    assert code(editor) == [*CODE[:3], *comment, *CODE[3:]], "above the function, though the cursor was inside it"


def test_comment_is_inserted_where_the_code_has_moved_to(editor: Editor) -> None:
    editor.nvim.command("5")
    editor.nvim.command("Starcoder explain")
    editor.wait(f"{TEXT} == {lua(EXPLAINED)}")
    editor.nvim.buffers[editor.lua("vim.fn.bufnr('sums.py')")][0:0] = ["import sys", "import re"]
    editor.type("gi")
    editor.wait("vim.fn.winnr('$') == 1")
    comment = [f"# {line}" for line in EXPLAINED.split("\n")]
    assert code(editor) == ["import sys", "import re", *CODE[:3], *comment, *CODE[3:]]


def test_comment_for_a_closed_file_is_refused(editor: Editor) -> None:
    editor.nvim.command("5")
    editor.nvim.command("Starcoder explain")
    editor.wait(f"{TEXT} == {lua(EXPLAINED)}")
    for command in ("wincmd p", "edit other.py", "bwipeout sums.py", "wincmd p"):
        editor.nvim.command(command)
    editor.type("gi")
    editor.wait_for_message("the file is no longer open")


def test_closing_the_window_cancels_generation(editor: Editor) -> None:
    editor.nvim.command("4")
    editor.nvim.command("Starcoder test")
    editor.wait(f"vim.startswith({TEXT}, 'word word')")
    phase = "require('starcoder.status').of(vim.fn.bufnr('sums.py')).phase"
    editor.wait(f"{phase} == 'working'")
    editor.type("q")
    editor.wait(f"{phase} == 'ready'", 10)  # the whole answer would take 15 s


def test_discarded_preview_changes_nothing(editor: Editor) -> None:
    editor.nvim.command("5")
    editor.nvim.command("Starcoder document")
    assert previewed(editor)
    editor.type("q")
    editor.wait("vim.fn.winnr('$') == 1")
    assert code(editor) == CODE


def test_preview_of_an_outdated_text_applies_nothing(editor: Editor) -> None:
    editor.nvim.command("5")
    editor.nvim.command("Starcoder document")
    assert previewed(editor)
    editor.run_lua("vim.api.nvim_buf_set_lines(vim.fn.bufnr('sums.py'), 0, 1, false, {'import sys'})")
    editor.type("<CR>")
    editor.wait("vim.fn.execute('messages'):find('changed in the meantime') ~= nil")
    assert code(editor) == ["import sys", *CODE[1:]]


def test_rewrite_asks_for_an_instruction(editor: Editor) -> None:
    choose(editor, "Rewrite")
    assert previewed(editor)
    editor.type("<CR>")
    editor.wait("vim.api.nvim_buf_get_lines(0, 3, 5, false)[1] == 'def add(*numbers):'")
    assert code(editor) == REWRITTEN


def test_sub_commands_edit_enclosing_function_or_range(editor: Editor) -> None:
    editor.nvim.command("5")
    editor.nvim.command("Starcoder document")
    assert previewed(editor)
    editor.type("<CR>")
    editor.wait("vim.api.nvim_buf_line_count(0) == 9")
    assert code(editor) == DESCRIBED
    editor.type("u")
    editor.wait("vim.api.nvim_buf_line_count(0) == 8")
    editor.nvim.command("4,5Starcoder rewrite use a generator")
    assert previewed(editor)
    editor.type("<CR>")
    editor.wait("vim.api.nvim_buf_get_lines(0, 3, 5, false)[1] == 'def add(*numbers):'")
    assert code(editor) == REWRITTEN


@pytest.mark.parametrize("where", ["4,5", ""])
def test_fix_sends_the_problems_in_the_range_or_function(editor: Editor, where: str) -> None:
    editor.run_lua(
        "vim.diagnostic.set(vim.api.nvim_create_namespace('linter'), 0, ...)",
        [{"lnum": line, "col": 0, "message": message} for line, message in ((0, "unused"), (4, "a missing call"))],
    )
    editor.nvim.command("4")
    editor.nvim.command(f"{where}Starcoder fix")
    assert "+    return sum((a, b))" in previewed(editor)


def test_fix_without_a_reported_problem_is_refused(editor: Editor) -> None:
    editor.nvim.command("4,5Starcoder fix")
    editor.wait_for_message("Fix needs a problem that the editor reports in this code")


def test_impossible_sub_command_is_refused_with_a_reason(editor: Editor) -> None:
    editor.nvim.command("2")
    editor.nvim.command("Starcoder document")
    editor.wait("vim.fn.execute('messages'):find('There is no code here') ~= nil")
    editor.type(":Starcoder nonsense<CR>")
    editor.wait("vim.fn.execute('messages'):find('there is no :Starcoder nonsense; there are adapters, ask') ~= nil")


def test_edit_is_refused_after_the_document_changed(editor: Editor) -> None:
    choose(editor, "Write docstring")
    editor.nvim.current.buffer[0] = "import sys"
    editor.wait("vim.fn.execute('messages'):find('changed in the meantime') ~= nil")
    assert code(editor) == ["import sys", *CODE[1:]]
