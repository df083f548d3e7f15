"""The packaged extension in a headless VS Code, with a scripted server process and once with the bundled model.

Skipped unless `VSCODE` names a code-server: `make test-editors` installs one.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import vscode as driver
from harness import FAKE_SERVER_COMMAND
from vscode import BUNDLED_SERVER, CODE, OpenWindow, VSCode, Window, wait

ASTRAIOS: dict[str, Any] = {"starcoder.adapters": {"astraios": {"path": "bigcode/astraios-7b-parallel"}}}

pytestmark = driver.MARKS


def menu_entries(window: Window) -> list[str]:
    """The entries of the menu of the status item."""
    window.page.click(driver.STATUS)
    rows = window.page.wait_for_selector(".quick-input-list .monaco-list-row") and window.page.query_selector_all(
        ".quick-input-list .monaco-list-row .label-name"
    )
    entries = [str(row.inner_text()).strip() for row in rows]
    window.press("Escape")
    return entries


def choose_action(window: Window, title: str) -> None:
    """Choose the code action ``title`` of the selection, once the light bulb shows that there is one."""
    window.page.wait_for_selector(".codicon-light-bulb")
    window.press("Control+Period")
    window.page.click(f'.action-widget .monaco-list-row:has-text("{title}")')


def type_at_end(window: Window, text: str) -> None:
    window.page.click(".monaco-editor .view-lines")
    window.press("Control+End")
    window.type(text)


def test_ghost_text_appears_and_tab_accepts_it(open_window: OpenWindow) -> None:
    window = open_window()
    window.wait_for_status("scripted · cpu")
    type_at_end(window, "x = ")
    assert window.wait_for_ghost() == "return 1"
    assert window.save() == CODE + "x = ", "ghost text is not in the file"
    window.press("Tab")
    assert window.save() == CODE + "x = return 1"


def test_typing_into_a_suggestion_keeps_it(open_window: OpenWindow) -> None:
    window = open_window({"scripts": [["alpha_", "beta_", "gamma", "\n"]], "token_s": 0.5})
    window.wait_for_status("scripted")
    type_at_end(window, "x = ")
    window.wait_for_ghost("alpha_beta_gamma", 20)
    for typed in ("a", "l", "p", "h"):
        window.type(typed)
        time.sleep(0.3)
        remaining = "alpha_beta_gamma"["alph".index(typed) + 1 :]
        assert window.ghost() == remaining, "a new generation would have taken 1.5 s"
    window.press("Tab")
    assert window.save().endswith("x = alpha_beta_gamma")


def test_slow_older_answer_does_not_replace_newer_one(open_window: OpenWindow) -> None:
    replies = {"newer =": ["quick", "\n"], "older =": [*["slow "] * 8, "\n"]}
    window = open_window({"replies": replies, "token_s": 0.2})
    window.wait_for_status("scripted")
    type_at_end(window, "older = ")
    time.sleep(0.3)
    assert window.ghost() == "", "the older answer is still being generated"
    window.type("0\nnewer = ", 20)
    window.wait_for_ghost("quick", 5)
    end = time.monotonic() + 2.5  # the older answer would take 1.8 s
    while time.monotonic() < end:
        assert window.ghost() == "quick"
        time.sleep(0.02)


def test_word_is_accepted_and_other_suggestions_are_shown(open_window: OpenWindow) -> None:
    window = open_window({"scripts": [["first of", " all", "\n"], ["second", "\n"]]})
    window.wait_for_status("scripted")
    type_at_end(window, "x = ")
    window.wait_for_ghost("first of all")
    window.press("Control+ArrowRight")
    assert window.save() == CODE + "x = first"
    window.press("Escape", "End", *["Backspace"] * len("first"))
    window.run("Trigger Inline Suggestion")
    window.wait_for_ghost("first of all")
    window.press("Alt+BracketRight")
    window.wait_for_ghost("second")
    window.press("Alt+BracketLeft")
    window.wait_for_ghost("first of all")


def test_write_docstring_shows_a_diff_and_is_undone_in_one_step(open_window: OpenWindow) -> None:
    window = open_window({"replies": {"Write a docstring": ["Add ", "two numbers."]}}, **ASTRAIOS)
    window.wait_for_status("astraios")
    type_at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Write Docstring")
    window.page.wait_for_selector('.monaco-diff-editor .modified .view-lines:has-text("Add two numbers.")')
    assert window.file.read_text() == CODE, "nothing is applied without confirmation"
    window.page.click('.editor-actions .action-label[aria-label^="Apply Change"]')
    window.page.wait_for_selector(".monaco-diff-editor", state="detached")
    wait(lambda: "Add two numbers." in window.save(), "docstring in the file")
    assert window.save() == CODE.replace(":\n", ':\n    """Add two numbers."""\n')
    window.press("Control+z")
    assert window.save() == CODE


def test_closed_diff_discards_the_edit(open_window: OpenWindow) -> None:
    window = open_window({"replies": {"Write a docstring": ["Add ", "two numbers."]}}, **ASTRAIOS)
    window.wait_for_status("astraios")
    type_at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Write Docstring")
    window.page.wait_for_selector(".monaco-diff-editor")
    window.page.click(".tab.active .tab-actions .action-label")
    window.page.wait_for_selector(".monaco-diff-editor", state="detached")
    assert window.save() == CODE


def test_fix_sends_the_problems_of_the_enclosing_function(open_window: OpenWindow, tmp_path: Path) -> None:
    file = tmp_path / "window0" / "sums.scss"  # VS Code itself checks this language
    file.parent.mkdir()
    file.write_text("// sums\n@function add($a, $b) {\n  @return ;\n}\n")
    reply = "```scss\n@function add($a, $b) {\n  @return $a + $b;\n}\n```"
    window = open_window({"replies": {"expression expected": [reply]}}, **ASTRAIOS)
    window.wait_for_status("astraios")
    window.press("Control+p")
    window.type(file.name)
    window.page.wait_for_selector(f'.quick-input-list .monaco-list-row.focused:has-text("{file.name}")')
    window.press("Enter")
    window.page.wait_for_selector(".squiggly-error")
    window.press("ArrowDown")  # into the function, above the line of the problem
    window.run("StarCoder: Fix")
    window.page.wait_for_selector('.monaco-diff-editor .modified .view-lines:has-text("$a + $b")')


def test_light_bulb_action_edits_the_file(open_window: OpenWindow) -> None:
    replies = {"Simplify": ["```python\ndef add(a, b):\n    return sum((a, b))\n```"]}
    unconfirmed = {"simplify": {"needs_confirmation": False}}
    window = open_window({"replies": replies}, **ASTRAIOS, **{"starcoder.actions": unconfirmed})
    window.wait_for_status("astraios")
    type_at_end(window, "")
    window.press("Shift+ArrowUp", "Shift+ArrowUp")
    choose_action(window, "Simplify")
    wait(lambda: "sum((a, b))" in window.save(), "edit in the file")
    assert window.save() == CODE.replace("a + b", "sum((a, b))")


def test_explanation_streams_and_is_inserted_as_comment(open_window: OpenWindow) -> None:
    answer = ["It **adds** ", "`a` ", "and ", "`b`.", "\n<img src=x onerror=alert(1)>", "\n[here](http://x.example)"]
    window = open_window({"replies": {"Explain": answer}, "token_s": 0.5}, **ASTRAIOS)
    window.wait_for_status("astraios")
    type_at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Explain")
    panel = window.panel()

    def panel_text() -> str:
        return str(panel.inner_text("#text"))

    wait(lambda: "adds" in panel_text(), "first words", 60, panel_text)
    assert "here" not in panel_text(), "the first words are shown before the last are written"
    assert "writing" in panel.inner_text("#state")
    wait(lambda: "here" in panel_text(), "last words", 60, panel_text)
    assert not panel.query_selector("#text img, #text a"), "the model's output is no markup"
    assert panel.query_selector("#text code")
    wait(lambda: not panel.inner_text("#state"), "end")
    window.page.click(".monaco-editor .view-lines")
    window.press("Control+Home")
    window.type("import sys\n")
    panel.click("#insert")
    window.page.wait_for_selector(".tab.dirty")
    wait(lambda: "# It" in window.save(), "comment in the file", 10, window.file.read_text)
    lines = window.save().splitlines()
    below = lines.index("def add(a, b):")
    assert all(line.startswith("#") for line in lines[4:below]), "above the function, which has moved"
    assert "\n".join([*lines[:4], *lines[below:]]) + "\n" == "import sys\n" + CODE
    window.page.click('.tab:has-text("app.py") .tab-actions .action-label')
    window.page.wait_for_selector('.tab:has-text("app.py")', state="detached")
    window.file.unlink()
    panel.click("#insert")
    window.page.wait_for_selector('.notification-toast:has-text("StarCoder:"):has-text("app.py")')


def test_rewrite_command_asks_and_shows_a_diff(open_window: OpenWindow) -> None:
    window = open_window(
        {"replies": {"use sum": ["```python\ndef add(a, b):\n    return sum((a, b))\n```"]}}, **ASTRAIOS
    )
    window.wait_for_status("astraios")
    type_at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Rewrite")
    window.page.wait_for_selector('.quick-input-widget :text("What should be changed?")')
    window.type("use sum")
    window.press("Enter")
    window.page.wait_for_selector('.monaco-diff-editor .modified .view-lines:has-text("sum((a, b))")')
    window.page.click('.editor-actions .action-label[aria-label^="Apply Change"]')
    window.page.wait_for_selector(".monaco-diff-editor", state="detached")
    wait(lambda: "sum((a, b))" in window.save(), "the rewritten function in the file")
    assert window.save() == CODE.replace("a + b", "sum((a, b))")


def test_open_menu_pauses_suggestions_if_set(code: VSCode, open_window: OpenWindow) -> None:
    code.write_user_settings(
        **{"editor.quickSuggestions": {"other": "on"}, "starcoder.inline_completion.pause_while": ["menu"]}
    )
    window = open_window(text="value = 1\nvariable = 2\n")
    window.wait_for_status("scripted")
    type_at_end(window, "va")
    window.page.wait_for_selector(".suggest-widget.visible")
    time.sleep(1.0)
    assert window.ghost() == ""
    window.press("Escape")
    window.type(" = ")
    window.wait_for_ghost("return 1")


@pytest.mark.parametrize("paused", [[], ["selection"]])
def test_selected_text_pauses_suggestions_if_set(code: VSCode, open_window: OpenWindow, paused: list[str]) -> None:
    """VS Code requests suggestions after *Find Next*, which selects a match."""
    code.write_user_settings(**{"starcoder.inline_completion.pause_while": paused})
    window = open_window(text="first = value\nsecond = value\n")
    window.wait_for_status("scripted")
    type_at_end(window, "")
    window.press("Control+f")
    window.type("value")
    window.press("Escape", "F3")
    window.page.wait_for_selector('.statusbar-item:has-text("5 selected")')
    if not paused:
        window.wait_for_ghost("return 1", 60)
        return
    time.sleep(1.5)
    assert window.ghost() == ""
    window.press("End")
    window.type(" + ")
    window.wait_for_ghost("return 1")


def test_stop_ends_an_explanation_and_keeps_its_text(open_window: OpenWindow) -> None:
    window = open_window({"replies": {"Explain": ["word "] * 200}, "token_s": 0.1}, **ASTRAIOS)
    window.wait_for_status("astraios")
    type_at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Explain")
    panel = window.panel()
    wait(lambda: "word word" in panel.inner_text("#text"), "words")
    panel.click("#stop")
    wait(lambda: panel.inner_text("#state") == "stopped", "stop")
    text = panel.inner_text("#text")
    wait(lambda: "astraios" in window.status() and "sync" not in window.status(), "idle server")
    time.sleep(0.5)
    assert panel.inner_text("#text") == text
    assert text.count("word") < 150


def test_killed_server_is_restarted_and_status_shows_it(code: VSCode, open_window: OpenWindow) -> None:
    window = open_window({"load_s": 3.0})
    window.wait_for_status("reading the weights")
    window.wait_for_status("scripted")
    (server,) = code.servers()
    server.kill()
    window.page.wait_for_selector('.notification-toast:has-text("started again (it was ended by SIGKILL")')
    window.wait_for_status("scripted")
    assert [process.pid for process in code.servers()] != [server.pid]
    type_at_end(window, "x = ")
    assert window.wait_for_ghost() == "return 1"


def test_commands_work_after_restarting_the_server(code: VSCode, open_window: OpenWindow) -> None:
    window = open_window({"replies": {"Explain": ["It adds."]}}, **ASTRAIOS)
    window.wait_for_status("astraios")
    (before,) = code.servers()
    window.run("StarCoder: Restart Server")
    wait(lambda: not before.is_running(), "end of the old server")
    window.wait_for_status("astraios")
    assert len(code.servers()) == 1
    type_at_end(window, "")
    window.press("Shift+ArrowUp", "Shift+ArrowUp")
    choose_action(window, "Explain")
    panel = window.panel()
    wait(lambda: "It adds." in panel.inner_text("#text"), "explanation", 20, lambda: panel.inner_text("#text"))


def test_only_changed_model_settings_start_a_new_server(code: VSCode, open_window: OpenWindow) -> None:
    window = open_window({"scripts": [["one", " two", " three", "\n"]]})
    window.wait_for_status("scripted")
    (before,) = code.servers()
    command = {"starcoder.server.command": [word for word in before.cmdline() if word != "--stdio"]}
    code.write_machine_settings(**command, **{"starcoder.inline_completion.max_new_tokens": 2})
    time.sleep(2.0)  # nothing on the screen shows that the server received it
    type_at_end(window, "x = ")
    assert "three" not in window.wait_for_ghost("one"), "two tokens, by the same server"
    assert [process.pid for process in code.servers()] == [before.pid]
    code.write_machine_settings(**command, **{"starcoder.model.threads": 1})
    wait(lambda: not before.is_running(), "end of the old server")
    window.wait_for_status("scripted")
    window.press("Escape")
    type_at_end(window, "\ny = ")
    assert window.wait_for_ghost("one") == "one two three", "a removed setting has its default again"
    (before,) = code.servers()
    code.write_machine_settings(**command, **{"starcoder.model.threads": 1, "starcoder.remote.prefill": False})
    wait(lambda: not before.is_running(), "end of the server with the old `remote` settings", 60)


def test_corrected_command_replaces_a_program_that_never_answers(code: VSCode, open_window: OpenWindow) -> None:
    window = open_window(server=["sleep", "1000"])
    window.wait_for_status("starting")
    code.write_machine_settings(**{"starcoder.server.command": [*FAKE_SERVER_COMMAND, "{}"]})
    window.wait_for_status("scripted", 60)
    assert not window.page.query_selector(".notification-toast"), "the end of the old program is no error"


def test_second_window_works_after_the_first_one_closes(code: VSCode, open_window: OpenWindow) -> None:
    first, second = open_window(text="a\n"), open_window(text="b\n")
    for window in (first, second):
        window.wait_for_status("scripted")
    assert len(code.servers()) == 2
    type_at_end(second, "y = ")
    second.wait_for_ghost("return 1")
    first.page.goto("about:blank")
    second.press("Tab")
    assert second.save() == "b\ny = return 1"
    second.press("Enter")
    second.type("z = ")
    second.wait_for_ghost("return 1")


def test_pause_stops_suggestions_everywhere_or_in_one_language(open_window: OpenWindow) -> None:
    window = open_window()
    window.wait_for_status("scripted")
    window.run("StarCoder: Pause or Resume in This Language")
    window.wait_for_status("not in python")
    type_at_end(window, "x = ")
    time.sleep(1.0)
    assert window.ghost() == ""
    window.run("StarCoder: Pause or Resume in This Language")
    window.wait_for_status("scripted")
    type_at_end(window, "\ny = ")
    window.wait_for_ghost("return 1")
    window.press("Escape")
    window.run("StarCoder: Pause or Resume Everywhere")
    window.wait_for_status("paused")
    type_at_end(window, "\nz = ")
    time.sleep(1.0)
    assert window.ghost() == ""


def test_resume_keeps_the_languages_of_the_settings_file_excluded(open_window: OpenWindow) -> None:
    window = open_window({"settings": {"inline_completion": {"excluded_languages": ["python"]}}})
    window.wait_for_status("scripted")
    window.run("StarCoder: Pause or Resume in This Language")
    window.wait_for_status("not in python")
    window.run("StarCoder: Pause or Resume in This Language")
    window.wait_for_status("scripted")
    type_at_end(window, "x = ")
    time.sleep(2.0)
    assert window.ghost() == ""


def test_workspace_folder_cannot_set_the_program_or_model(
    code: VSCode, open_window: OpenWindow, tmp_path: Path
) -> None:
    folder = tmp_path / "window0" / ".vscode"
    folder.mkdir(parents=True)
    evil = {"starcoder.server.command": ["touch", str(tmp_path / "owned")], "starcoder.model.name": "evil/model"}
    (folder / "settings.json").write_text(json.dumps(evil))
    window = open_window()
    window.wait_for_status("scripted")
    assert not (tmp_path / "owned").exists()
    assert len(code.servers()) == 1


def test_missing_server_shows_how_to_install_one(open_window: OpenWindow) -> None:
    window = open_window(server=[])
    window.wait_for_status("not installed")
    assert "Show how to install it" in menu_entries(window)
    window.page.click('.notification-toast .monaco-button:has-text("Show How to Install")')
    page = window.page
    wait(
        lambda: any(frame.query_selector("text=Install the server") for frame in page.frames), "page on how to install"
    )


def test_prompt_preview_uses_settings_over_the_settings_file(open_window: OpenWindow) -> None:
    of_file = {"inline_completion": {"prompt_tokens": 200, "max_new_tokens": 20}}
    window = open_window({"settings": of_file}, **{"starcoder.inline_completion.max_new_tokens": 33})
    window.wait_for_status("scripted")
    type_at_end(window, "")
    window.run("StarCoder: Show What the Model Sees Here")

    def preview_text() -> str:
        view = window.page.query_selector_all(".editor-group-container .monaco-editor .view-lines")[-1]
        return str(view.inner_text()).replace("\xa0", " ")

    wait(lambda: "<fim_middle>" in preview_text(), "prompt", 60, preview_text)
    assert "of 200 tokens" in preview_text(), "a default of VS Code must not override the settings file"
    assert "at most 33 new ones" in preview_text()


def test_bundled_model_suggests_and_tab_accepts(open_window: OpenWindow) -> None:
    window = open_window(
        text="import argparse\n\n\ndef main():\n    parser = argparse.ArgumentParser()\n",
        server=BUNDLED_SERVER,
    )
    window.wait_for_status("bundled", 90)
    ghost = ""
    for typed in ("    print(", "    for name in ", "    args = ", "    return ", "    self."):
        type_at_end(window, typed)
        try:
            ghost = window.wait_for_ghost(seconds=5)
            break
        except AssertionError:
            window.press("Enter")  # a small model may have no suggestion here
    before = window.save()
    window.press("Tab")
    after = window.save()
    assert ghost
    assert after.startswith(before.removesuffix(")")), "a suggestion may close the bracket itself"
    assert len(after) > len(before)


def test_invalid_settings_file_is_opened_and_read_again(open_window: OpenWindow, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[model]\nnam = 'x'\n")
    window = open_window(server=[*BUNDLED_SERVER, "--settings", str(settings)])
    window.wait_for_status("failed", 400)
    toast = '.notification-toast:has-text("there is no setting `model.nam`")'
    window.page.wait_for_selector(toast, timeout=180_000)
    window.page.click(f'{toast} .monaco-button:has-text("Open Settings File")')
    window.page.wait_for_selector('.tab.active:has-text("settings.toml")')
    window.page.click(".monaco-editor .view-lines")
    window.press("Control+a")
    window.type("model.name = '/no/such/model'")
    window.press("Control+s")
    window.page.wait_for_selector('.notification-toast:has-text("There is no folder /no/such/model")', timeout=180_000)


def test_text_typed_before_the_extension_starts_gets_ghost_text(open_window: OpenWindow) -> None:
    window = open_window({"load_s": 2.0})
    type_at_end(window, "x = ")
    window.wait_for_ghost("return 1")


def test_text_typed_while_the_model_loads_gets_ghost_text(open_window: OpenWindow) -> None:
    window = open_window({"load_s": 12.0})
    window.wait_for_status("loading")
    type_at_end(window, "x = ")
    window.wait_for_ghost("return 1")


def test_manual_trigger_shows_nothing_when_the_model_has_loaded(open_window: OpenWindow) -> None:
    window = open_window({"load_s": 2.0}, **{"starcoder.inline_completion.trigger": "manual"})
    type_at_end(window, "x = ")
    window.wait_for_status("scripted")
    time.sleep(2)
    assert window.ghost() == ""
