"""A real Neovim with the plug-in, against a real server process: scripted, and once with the bundled model.

Skipped without Neovim 0.12 or newer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from neovim import BUNDLED_SERVER, Editor, fake_server, lua, running

CODE = ["import os", "", ""]
Open = Callable[..., Editor]

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a Neovim on a file in a folder of its own, set up as the README says, with the default maps."""
    with contextlib.ExitStack() as editors:

        def open_editor(
            command: list[str] | None = None, text: list[str] = CODE, name: str = "one", is_ready: bool = True
        ) -> Editor:
            place = tmp_path / name
            place.mkdir()
            (place / "app.py").write_text("\n".join(text) + "\n")
            options = f"{{ cmd = {lua(command or fake_server())}, maps = true }}"
            editor = editors.enter_context(running(place, place / "app.py", f"require('starcoder').setup({options})\n"))
            if is_ready:
                editor.until_ready()
            return editor

        yield open_editor


def test_ghost_text_appears_and_tab_accepts_it(opened: Open) -> None:
    editor = opened()
    editor.type("Gox = ")
    assert editor.wait_for_ghost() == "return 1"
    assert editor.lines() == [*CODE, "x = "], "ghost text is no text"
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_get_current_line() == 'x = return 1'")


def test_tab_is_a_tab_where_there_is_no_ghost_text(opened: Open) -> None:
    editor = opened(fake_server(scripts=[[" \n"]]))
    editor.type("Go<Tab>x")
    editor.wait("vim.api.nvim_get_current_line():find('^%s+x$') ~= nil")


def test_typing_through_a_suggestion_keeps_it(opened: Open) -> None:
    editor = opened(fake_server(scripts=[["alpha_", "beta_", "gamma", "\n"]], token_s=0.5))
    editor.type("Gox = ")
    editor.wait_for_ghost("alpha_beta_gamma")
    for at, typed in enumerate("alph", start=1):
        editor.type(typed)
        time.sleep(0.35)  # longer than Neovim's own delay: the server was asked again
        assert editor.ghost() == "alpha_beta_gamma"[at:], "a new generation would have taken 1.5 s"
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_get_current_line() == 'x = alpha_beta_gamma'")


def test_a_slow_older_answer_never_replaces_a_newer_one(opened: Open) -> None:
    replies = {"newer =": ["quick", "\n"], "older =": [*["slow "] * 8, "\n"]}
    editor = opened(fake_server(replies=replies, token_s=0.2))
    editor.type("Goolder = ")
    time.sleep(0.5)
    assert editor.ghost() == "", "the older one is still being made"
    editor.type("0<CR>newer = ")
    editor.wait_for_ghost("quick", 5)
    end = time.monotonic() + 2.5  # the older one would take 1.8 s
    while time.monotonic() < end:
        assert editor.ghost() == "quick"
        time.sleep(0.02)


def test_words_and_lines_are_accepted_one_by_one(opened: Open) -> None:
    editor = opened(fake_server(scripts=[["file = open(näme, ", "mode)\n", "    second()\n", "\n"]]), ["def f():"])
    editor.type("Go")
    editor.wait_for_ghost("file = open(näme, mode)\n    second()")
    for part in ("file", "file =", "file = open", "file = open(", "file = open(näme", "file = open(näme,"):
        editor.type("<C-Right>")
        line = "    " + part
        editor.wait(f"vim.api.nvim_get_current_line() == {lua(line)}")
        assert editor.lua("vim.api.nvim_win_get_cursor(0)[2]") == len(line.encode())
        editor.wait_for_ghost("    file = open(näme, mode)\n    second()".removeprefix(line))
    editor.type("<C-Down>")
    editor.wait("vim.api.nvim_get_current_line() == '    file = open(näme, mode)'")
    editor.wait_for_ghost("\n    second()")
    editor.type("<C-Down>")
    editor.wait("vim.api.nvim_get_current_line() == '    second()'")


def test_other_candidates_are_looked_at(opened: Open) -> None:
    editor = opened(fake_server(scripts=[["first", "\n"], ["second", "\n"]]))
    editor.type("Gox = ")
    editor.wait_for_ghost("first")
    editor.type("<M-]>")
    editor.wait_for_ghost()
    editor.type("<C-]>")
    editor.wait("vim.api.nvim_get_current_line() == 'x = '")
    assert editor.ghost() == ""


def test_a_ghost_does_not_outlive_its_place(opened: Open) -> None:
    editor = opened(fake_server(replies={"y =": [" \n"]}))
    editor.type("Gox = ")
    editor.wait_for_ghost("return 1")
    editor.type("0<CR>y = ")
    editor.wait("vim.api.nvim_get_current_line() == 'y = '")
    editor.type("<Tab>")  # Neovim has not asked yet, and would accept what it showed at the old place
    editor.wait("vim.api.nvim_get_current_line():find('^y = %s+$') ~= nil")
    time.sleep(0.6)
    assert editor.ghost() == "", "there is nothing to say here, and the old place is left"
    assert editor.lines()[3] == "x = 0"


def test_a_killed_server_is_restarted_and_the_status_tells(opened: Open) -> None:
    editor = opened(fake_server(load_s=1.5))
    status = "require('starcoder').statusline()"
    editor.wait(f"{status} == 'scripted · cpu'")
    (server,) = [
        one for one in psutil.Process(editor.lua("vim.fn.getpid()")).children() if "serve_fake" in str(one.cmdline())
    ]
    server.kill()
    editor.wait(f"{status} == 'StarCoder: restarting' or {status}:find('loading') ~= nil")
    editor.wait(f"{status}:find('loading') ~= nil")
    editor.wait(f"{status} == 'scripted · cpu'")
    assert "started again" in editor.messages()
    editor.type("Gox = ")
    editor.wait_for_ghost("return 1")


def test_a_server_that_keeps_ending_is_left_alone(opened: Open) -> None:
    editor = opened(["sh", "-c", "exit 3"], is_ready=False)
    editor.wait("vim.fn.execute('messages'):find('not started again') ~= nil")
    assert editor.lua("require('starcoder').statusline()") == "StarCoder: stopped"


def test_two_editors_have_a_server_each_and_one_survives_the_other(opened: Open) -> None:
    one, other = opened(), opened(name="other")
    one.type("Gox = ")
    other.type("Goy = ")
    one.wait_for_ghost("return 1")
    other.wait_for_ghost("return 1")
    with contextlib.suppress(EOFError, OSError):
        one.nvim.command("qa!")
    other.type("<Tab>")
    other.wait("vim.api.nvim_get_current_line() == 'y = return 1'")
    other.type("<CR>z = ")
    other.wait_for_ghost("return 1")
    assert other.lines()[-2] == "y = return 1"


def test_pausing_ends_suggestions_and_resuming_brings_them_back(opened: Open) -> None:
    editor = opened()
    for pause, resume, said in (
        ("pause", "resume", "StarCoder: paused"),
        ("pause python", "resume python", "StarCoder: not in python"),
    ):
        editor.nvim.command(f"Starcoder {pause}")
        assert editor.lua("require('starcoder').statusline()") == said
        editor.type("<Esc>Gox = ")
        time.sleep(0.6)
        assert editor.ghost() == ""
        editor.type("<Esc>")
        editor.nvim.command(f"Starcoder {resume}")
        editor.type("Goy = ")
        editor.wait_for_ghost("return 1")


def test_a_pause_outlives_a_restart(opened: Open) -> None:
    editor = opened()
    editor.nvim.command("Starcoder pause")
    editor.nvim.command("Starcoder restart")
    editor.wait("#vim.lsp.get_clients() == 0")
    editor.until_ready()
    editor.type("Gox = ")
    time.sleep(0.8)
    assert editor.ghost() == ""


def test_sub_commands_are_completed(opened: Open) -> None:
    editor = opened(fake_server(adapters=["astraios"]))
    assert editor.lua("vim.fn.getcompletion('Starcoder re', 'cmdline')") == ["restart", "resume", "rewrite"]
    assert editor.lua("vim.fn.getcompletion('Starcoder pause ', 'cmdline')") == ["python"]
    editor.wait("#vim.fn.getcompletion('Starcoder detach ', 'cmdline') > 0")
    assert "astraios" in editor.lua("vim.fn.getcompletion('Starcoder detach ', 'cmdline')")


def test_what_the_model_sees_and_how_fast_it_was_can_be_asked(opened: Open) -> None:
    editor = opened()
    editor.type("Gox = ")
    editor.wait_for_ghost()
    editor.type("<Esc>")
    editor.nvim.command("Starcoder latency")
    editor.wait("vim.fn.execute('messages'):find('1 answers') ~= nil")
    editor.nvim.command("Starcoder prompt")
    editor.wait("vim.api.nvim_buf_get_name(0) == 'starcoder://prompt'")
    shown = editor.lines()
    assert shown[2].startswith("budget")
    assert "──── <fim_middle>" in shown
    assert shown[-1] == "x ="


def test_checkhealth_is_green_and_without_a_server_helpful(opened: Open) -> None:
    good, bad = opened(), opened(["/nowhere/starcoder-ls"], name="bad", is_ready=False)
    good.nvim.command("checkhealth starcoder")
    report = "\n".join(good.lines())
    assert "Model scripted on cpu is ready" in report
    assert "ERROR" not in report
    assert "WARNING" not in report
    bad.nvim.command("checkhealth starcoder")
    report = "\n".join(bad.lines())
    assert "ERROR There is no program /nowhere/starcoder-ls" in report
    assert "make demo" in report


def test_the_help_names_every_sub_command_and_function(opened: Open) -> None:
    editor = opened()
    help_text = (Path(__file__).parents[2] / "editors/neovim/doc/starcoder.txt").read_text()
    for name in editor.lua("vim.tbl_keys(require('starcoder.command').subcommands)"):
        assert f":Starcoder {name}" in help_text, name
    for name in ("accept", "accept_word", "accept_line", "next", "previous", "dismiss", "setup", "statusline"):
        assert f"*starcoder.{name}()*" in help_text


def test_the_bundled_model_answers(opened: Open) -> None:
    text = ["import argparse", "", "", "def main():", "    parser = argparse.ArgumentParser()"]
    editor = opened(BUNDLED_SERVER, text)
    ghost = ""
    for keys in ("Go    print(", "<Esc>ccfor name in ", "<Esc>ccargs = ", "<Esc>ccreturn ", "<Esc>ccself."):
        editor.type(keys)
        with contextlib.suppress(AssertionError):  # a small model may have nothing to say here
            ghost = editor.wait_for_ghost(seconds=5)
            break
    assert ghost
    before = "\n".join(editor.lines())
    editor.type("<Tab>")
    editor.wait(f"table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n') ~= {lua(before)}")
    after = "\n".join(editor.lines())
    assert after.startswith("\n".join(text))
    assert ghost.split("\n")[0] in after
