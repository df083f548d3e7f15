"""The plug-in in a headless Neovim, with a scripted server process and once with the bundled model.

Skipped without Neovim 0.12 or newer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from neovim import BUNDLED_SERVER, GHOST, Editor, fake_server, lua, running

CODE = ["import os", "", ""]
OpenEditor = Callable[..., Editor]

pytestmark = pytest.mark.slow


@pytest.fixture
def open_editor(tmp_path: Path) -> Iterator[OpenEditor]:
    """Starts a Neovim on a file in its own folder, configured as the README describes, with the default maps."""
    with contextlib.ExitStack() as editors:

        def start_editor(
            command: list[str] | None = None,
            text: list[str] = CODE,
            name: str = "one",
            is_ready: bool = True,
            options: str = "",
        ) -> Editor:
            folder = tmp_path / name
            folder.mkdir()
            (folder / "app.py").write_text("\n".join(text) + "\n")
            setup = f"require('starcoder').setup({{ cmd = {lua(command or fake_server())}, maps = true, {options} }})\n"
            editor = editors.enter_context(running(folder, folder / "app.py", setup))
            if is_ready:
                editor.wait_until_ready()
            return editor

        yield start_editor


def report_phases(editor: Editor, *phases: str) -> None:
    """Act as if the server had sent its status with these phases."""
    for phase in phases:
        editor.run_lua("require('starcoder.status').on_status(vim.lsp.get_clients()[1].id, { phase = ... })", phase)


def test_ghost_text_appears_and_tab_accepts_it(open_editor: OpenEditor) -> None:
    editor = open_editor()
    editor.type("Gox = ")
    assert editor.wait_for_ghost() == "return 1"
    assert editor.lines() == [*CODE, "x = "], "ghost text is not in the buffer"
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_get_current_line() == 'x = return 1'")


def test_text_typed_before_the_server_is_ready_gets_ghost_text(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(load_s=1.0), is_ready=False)
    assert not editor.lua("vim.lsp.get_clients()[1] and vim.lsp.get_clients()[1].initialized")
    editor.type("Gox = ")
    assert editor.wait_for_ghost() == "return 1"


def test_ghost_text_is_requested_when_the_model_becomes_ready(open_editor: OpenEditor) -> None:
    editor = open_editor()
    editor.type("Gox = ")
    editor.wait_for_ghost()
    editor.type("<C-]>")
    editor.wait(f"{GHOST} == ''")
    report_phases(editor, "loading", "ready")
    assert editor.wait_for_ghost() == "return 1"


def test_dismissed_ghost_text_stays_away_after_a_generation(open_editor: OpenEditor) -> None:
    editor = open_editor()
    editor.type("Gox = ")
    editor.wait_for_ghost()
    editor.type("<C-]>")
    editor.wait(f"{GHOST} == ''")
    report_phases(editor, "ready", "working", "ready")
    time.sleep(0.6)  # longer than Neovim's delay before a request
    assert editor.ghost() == ""


def test_tab_without_ghost_text_inserts_a_tab(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(scripts=[[" \n"]]))
    editor.type("Go<Tab>x")
    editor.wait("vim.api.nvim_get_current_line():find('^%s+x$') ~= nil")


def test_typing_into_a_suggestion_keeps_it(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(scripts=[["alpha_", "beta_", "gamma", "\n"]], token_s=0.5))
    editor.type("Gox = ")
    editor.wait_for_ghost("alpha_beta_gamma")
    for count, typed in enumerate("alph", start=1):
        editor.type(typed)
        time.sleep(0.35)  # longer than Neovim's delay, so that it has sent another request
        assert editor.ghost() == "alpha_beta_gamma"[count:], "a new generation would have taken 1.5 s"
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_get_current_line() == 'x = alpha_beta_gamma'")


def test_slow_older_answer_does_not_replace_newer_one(open_editor: OpenEditor) -> None:
    replies = {"newer =": ["quick", "\n"], "older =": [*["slow "] * 8, "\n"]}
    editor = open_editor(fake_server(replies=replies, token_s=0.2))
    editor.type("Goolder = ")
    time.sleep(0.5)
    assert editor.ghost() == "", "the older answer is still being generated"
    editor.type("0<CR>newer = ")
    editor.wait_for_ghost("quick", 5)
    end = time.monotonic() + 2.5  # the older answer would take 1.8 s
    while time.monotonic() < end:
        assert editor.ghost() == "quick"
        time.sleep(0.02)


def test_accept_word_and_accept_line_insert_one_part_each(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(scripts=[["file = open(näme, ", "mode)\n", "    second()\n", "\n"]]), ["def f():"])
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


def test_next_key_requests_and_shows_other_candidates(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(scripts=[["first", "\n"], ["second", "\n"], ["third", "\n"]]))
    editor.type("Gox = ")
    editor.wait_for_ghost("first")
    for key, text in (("<M-]>", "second"), ("<M-]>", "third"), ("<M-[>", "second"), ("<M-]>", "third")):
        editor.type(key)
        editor.wait_for_ghost(text)
    editor.type("<Tab>")
    editor.wait("vim.api.nvim_get_current_line() == 'x = third'")


def test_next_key_says_that_there_is_no_other_suggestion(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(scripts=[["only", "\n"]]))
    editor.type("Gox = ")
    editor.wait_for_ghost("only")
    editor.type("<M-]>")
    editor.wait("vim.fn.execute('messages'):find('there is no other suggestion') ~= nil")
    assert editor.ghost() == "only"
    editor.type("<C-]>")
    editor.wait("vim.api.nvim_get_current_line() == 'x = '")
    assert editor.ghost() == ""


def test_manual_trigger_shows_a_suggestion_on_request_only(open_editor: OpenEditor) -> None:
    editor = open_editor(options="init_options = { inline_completion = { trigger = 'manual' } }")
    editor.type("Gox = ")
    time.sleep(0.6)
    assert editor.ghost() == ""
    editor.type("<M-Bslash>")
    editor.wait_for_ghost("return 1")
    editor.type("ret")
    time.sleep(0.6)
    assert editor.ghost() == "urn 1"


@pytest.mark.parametrize("paused", [False, True])
def test_open_menu_pauses_suggestions_if_set(open_editor: OpenEditor, paused: bool) -> None:
    states = "{ 'menu' }" if paused else "{}"
    options = f"init_options = {{ inline_completion = {{ pause_while = {states} }} }}"
    editor = open_editor(text=["value = 1", "variable = 2"], options=options)
    editor.type("Gova<C-n>")
    editor.wait("vim.fn.pumvisible() == 1")
    if not paused:
        editor.wait_for_ghost("return 1")
        return
    time.sleep(0.6)
    assert editor.ghost() == ""
    editor.type("<C-y> = ")
    editor.wait_for_ghost("return 1")


def test_missing_program_is_one_message_and_a_status(open_editor: OpenEditor) -> None:
    program = "/nowhere/" + "long/" * 20 + "starcoder-ls"
    editor = open_editor([program], is_ready=False)
    editor.wait_for_message("there is no program /nowhere")
    editor.nvim.command("edit other.py")
    editor.nvim.command("edit app.py")
    assert editor.messages().count("StarCoder:") == 1
    assert editor.lua("require('starcoder').statusline()") == "StarCoder: not installed"
    editor.show_screen(80, 24)
    editor.type(":Starcoder restart<CR>")
    time.sleep(1.0)
    assert not editor.is_blocked(), "no key must be pressed to continue"
    assert editor.messages().count("StarCoder:") == 2


def test_older_neovim_is_answered_with_one_message(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("a = 1\n")
    setup = "vim.fn.has = function() return 0 end\nrequire('starcoder').setup({ cmd = { '/nowhere' }, maps = true })\n"
    with running(tmp_path, tmp_path / "app.py", setup) as editor:
        editor.wait_for_message("Neovim 0.12 or newer is needed, and this is")
        assert "Error" not in editor.messages()


def test_tab_after_cursor_moved_does_not_accept_old_suggestion(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(replies={"y =": [" \n"]}))
    editor.type("Gox = ")
    editor.wait_for_ghost("return 1")
    editor.type("0<CR>y = ")
    editor.wait("vim.api.nvim_get_current_line() == 'y = '")
    editor.type("<Tab>")  # Neovim has not sent a request yet and would accept the suggestion at the old position
    editor.wait("vim.api.nvim_get_current_line():find('^y = %s+$') ~= nil")
    time.sleep(0.6)
    assert editor.ghost() == "", "no suggestion at the new position, and the old one is gone"
    assert editor.lines()[3] == "x = 0"


def test_killed_server_is_restarted_and_status_shows_it(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(load_s=1.5))
    status = "require('starcoder').statusline()"
    editor.wait(f"{status} == 'scripted · cpu'")
    (server,) = [
        child
        for child in psutil.Process(editor.lua("vim.fn.getpid()")).children()
        if "serve_fake" in str(child.cmdline())
    ]
    server.kill()
    editor.wait(f"{status} == 'StarCoder: restarting' or {status}:find('loading') ~= nil")
    editor.wait(f"{status}:find('loading') ~= nil")
    editor.wait(f"{status} == 'scripted · cpu'")
    assert "started again" in editor.messages()
    editor.type("Gox = ")
    editor.wait_for_ghost("return 1")


def test_server_that_keeps_crashing_is_not_restarted(open_editor: OpenEditor) -> None:
    editor = open_editor(["sh", "-c", "exit 3"], is_ready=False)
    editor.show_screen(80, 24)
    editor.wait_for_message("not started again")
    assert editor.lua("require('starcoder').statusline()") == "StarCoder: stopped"
    assert not editor.is_blocked()


def test_second_editor_works_after_the_first_one_quits(open_editor: OpenEditor) -> None:
    first, second = open_editor(), open_editor(name="second")
    first.type("Gox = ")
    second.type("Goy = ")
    first.wait_for_ghost("return 1")
    second.wait_for_ghost("return 1")
    with contextlib.suppress(EOFError, OSError):
        first.nvim.command("qa!")
    second.type("<Tab>")
    second.wait("vim.api.nvim_get_current_line() == 'y = return 1'")
    second.type("<CR>z = ")
    second.wait_for_ghost("return 1")
    assert second.lines()[-2] == "y = return 1"


def test_pause_stops_suggestions_and_resume_restores_them(open_editor: OpenEditor) -> None:
    editor = open_editor()
    for pause, resume, status in (
        ("pause", "resume", "StarCoder: paused"),
        ("pause python", "resume python", "StarCoder: not in python"),
    ):
        editor.nvim.command(f"Starcoder {pause}")
        assert editor.lua("require('starcoder').statusline()") == status
        editor.type("<Esc>Gox = ")
        time.sleep(0.6)
        assert editor.ghost() == ""
        editor.type("<Esc>")
        editor.nvim.command(f"Starcoder {resume}")
        editor.type("Goy = ")
        editor.wait_for_ghost("return 1")


def test_resume_keeps_the_languages_that_the_settings_exclude(open_editor: OpenEditor) -> None:
    editor = open_editor(options="init_options = { inline_completion = { excluded_languages = { 'python' } } }")
    editor.nvim.command("Starcoder pause lua")
    editor.nvim.command("Starcoder resume lua")
    editor.type("Gox = ")
    time.sleep(0.8)
    assert editor.ghost() == ""


def test_pause_persists_across_a_server_restart(open_editor: OpenEditor) -> None:
    editor = open_editor()
    editor.nvim.command("Starcoder pause")
    editor.nvim.command("Starcoder restart")
    editor.wait("#vim.lsp.get_clients() == 0")
    editor.wait_until_ready()
    editor.type("Gox = ")
    time.sleep(0.8)
    assert editor.ghost() == ""


def test_command_line_completion_of_sub_commands(open_editor: OpenEditor) -> None:
    editor = open_editor(fake_server(adapters=["astraios"]))
    assert editor.lua("vim.fn.getcompletion('Starcoder re', 'cmdline')") == ["restart", "resume", "rewrite"]
    assert editor.lua("vim.fn.getcompletion('Starcoder pause ', 'cmdline')") == ["python"]
    editor.wait("#vim.fn.getcompletion('Starcoder detach ', 'cmdline') > 0")
    assert "astraios" in editor.lua("vim.fn.getcompletion('Starcoder detach ', 'cmdline')")


def test_latency_and_prompt_commands_show_their_results(open_editor: OpenEditor) -> None:
    editor = open_editor()
    editor.type("Gox = ")
    editor.wait_for_ghost()
    editor.type("<Esc>")
    editor.nvim.command("Starcoder latency")
    editor.wait("vim.fn.execute('messages'):find('1 answers') ~= nil")
    editor.nvim.command("Starcoder prompt")
    editor.wait("vim.api.nvim_buf_get_name(0) == 'starcoder://prompt'")
    prompt = editor.lines()
    assert prompt[2].startswith("budget")
    assert "──── <fim_middle>" in prompt
    assert prompt[-1] == "x ="


def test_second_prompt_replaces_the_first_in_its_window(open_editor: OpenEditor) -> None:
    editor = open_editor()
    name = "vim.api.nvim_buf_get_name(0)"
    for variable in ("x", "y"):
        editor.type(f"Go{variable} = <Esc>")
        editor.nvim.command("Starcoder prompt")
        editor.wait(f"{name} == 'starcoder://prompt' and vim.bo.modifiable == false")
        assert editor.lines()[-1] == f"{variable} ="
        editor.nvim.command("wincmd p")
        assert editor.lua(f"{name}:find('app.py') ~= nil")
    assert editor.lua("vim.fn.winnr('$')") == 2
    editor.nvim.command("wincmd p")
    editor.nvim.command("close")
    assert editor.lua("vim.fn.bufexists('starcoder://prompt')") == 0
    assert "Error" not in editor.messages()


def test_checkhealth_passes_and_explains_a_missing_server(open_editor: OpenEditor) -> None:
    working, broken = open_editor(), open_editor(["/nowhere/starcoder-ls"], name="broken", is_ready=False)
    working.nvim.command("checkhealth starcoder")
    report = "\n".join(working.lines())
    assert "Model scripted on cpu is ready" in report
    assert "ERROR" not in report
    assert "WARNING" not in report
    broken.nvim.command("checkhealth starcoder")
    report = "\n".join(broken.lines())
    assert "ERROR There is no program /nowhere/starcoder-ls" in report
    assert "starcoder-ls editor neovim" in report


def test_help_describes_every_sub_command_and_function(open_editor: OpenEditor) -> None:
    editor = open_editor()
    help_text = (Path(__file__).parents[2] / "editors/neovim/doc/starcoder.txt").read_text()
    for name in editor.lua("vim.tbl_keys(require('starcoder.command').subcommands)"):
        assert f":Starcoder {name}" in help_text, name
    for name in (
        "accept",
        "accept_word",
        "accept_line",
        "next",
        "previous",
        "trigger",
        "dismiss",
        "setup",
        "statusline",
    ):
        assert f"*starcoder.{name}()*" in help_text


def test_bundled_model_suggests_and_tab_accepts(open_editor: OpenEditor) -> None:
    text = ["import argparse", "", "", "def main():", "    parser = argparse.ArgumentParser()"]
    editor = open_editor(BUNDLED_SERVER, text)
    ghost = ""
    for keys in ("Go    print(", "<Esc>ccfor name in ", "<Esc>ccargs = ", "<Esc>ccreturn ", "<Esc>ccself."):
        editor.type(keys)
        with contextlib.suppress(AssertionError):  # a small model may have no suggestion here
            ghost = editor.wait_for_ghost(seconds=5)
            break
    assert ghost
    before = "\n".join(editor.lines())
    editor.type("<Tab>")
    editor.wait(f"table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n') ~= {lua(before)}")
    after = "\n".join(editor.lines())
    assert after.startswith("\n".join(text))
    assert ghost.split("\n")[0] in after


def test_invalid_settings_file_is_opened_and_read_again(
    open_editor: OpenEditor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[model]\nnam = 'x'\n")
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(settings))
    editor = open_editor(BUNDLED_SERVER, is_ready=False)
    editor.wait("vim.fn.execute('messages'):find('there is no setting `model.nam`', 1, true)", 180)
    assert editor.lua("require('starcoder').statusline()") == "StarCoder: failed"
    editor.nvim.command("Starcoder settings")
    assert editor.nvim.current.buffer.name == str(settings)
    editor.nvim.current.buffer[:] = ["[model]", "name = '/no/such/model'"]
    editor.nvim.command("write")
    editor.wait("vim.fn.execute('messages'):find('There is no folder /no/such/model', 1, true)", 180)
