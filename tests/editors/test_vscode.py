"""A real VS Code with the packaged extension, against a real server process: scripted, and once with the bundled model.

Skipped unless `VSCODE` names a code-server: `make test-editors` installs one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vscode as driver
from harness import FAKE_SERVER_COMMAND
from vscode import BUNDLED_SERVER, VSCode, Window, wait

CODE = "import os\n\n\ndef add(a, b):\n    return a + b\n"
ASTRAIOS: dict[str, Any] = {"starcoder.adapters": {"astraios": {"path": "bigcode/astraios-7b-parallel"}}}
Open = Callable[..., Window]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VSCode]:
    with driver.running(tmp_path_factory.mktemp("vscode")) as vscode:
        yield vscode


@pytest.fixture
def opened(code: VSCode, tmp_path: Path) -> Iterator[Open]:
    """Opens a window on ``app.py`` in a folder of its own, with a scripted engine behind its server."""
    windows: list[Window] = []
    code.set_user()

    def open_window(
        engine: dict[str, Any] | None = None, text: str = CODE, server: list[str] | None = None, **machine: object
    ) -> Window:
        folder = tmp_path / f"window{len(windows)}"
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(text)
        command = [*FAKE_SERVER_COMMAND, json.dumps(engine or {})] if server is None else server
        code.set_machine(**{"starcoder.server.command": command, **machine})
        windows.append(code.open(folder, "app.py"))
        return windows[-1]

    yield open_window
    for window in windows:
        window.close()
    wait(lambda: not code.servers(), "end of the servers of closed windows", 30, code.servers)


def at_end(window: Window, text: str) -> None:
    window.page.click(".monaco-editor .view-lines")
    window.press("Control+End")
    window.type(text)


def test_ghost_text_appears_and_tab_accepts_it(opened: Open) -> None:
    window = opened()
    window.wait_for_status("scripted · cpu")
    at_end(window, "x = ")
    assert window.wait_for_ghost() == "return 1"
    assert window.saved() == CODE + "x = ", "ghost text is no text"
    window.press("Tab")
    assert window.saved() == CODE + "x = return 1"


def test_typing_through_a_suggestion_keeps_it(opened: Open) -> None:
    window = opened({"scripts": [["alpha_", "beta_", "gamma", "\n"]], "token_s": 0.5})
    window.wait_for_status("scripted")
    at_end(window, "x = ")
    window.wait_for_ghost("alpha_beta_gamma", 20)
    for typed in ("a", "l", "p", "h"):
        window.type(typed)
        time.sleep(0.3)
        left = "alpha_beta_gamma"["alph".index(typed) + 1 :]
        assert window.ghost() == left, "a new generation would have taken 1.5 s"
    window.press("Tab")
    assert window.saved().endswith("x = alpha_beta_gamma")


def test_a_slow_older_answer_never_replaces_a_newer_one(opened: Open) -> None:
    replies = {"newer =": ["quick", "\n"], "older =": [*["slow "] * 8, "\n"]}
    window = opened({"replies": replies, "token_s": 0.2})
    window.wait_for_status("scripted")
    at_end(window, "older = ")
    time.sleep(0.3)
    assert window.ghost() == "", "the older one is still being made"
    window.type("0\nnewer = ", 20)
    window.wait_for_ghost("quick", 5)
    end = time.monotonic() + 2.5  # the older one would take 1.8 s
    while time.monotonic() < end:
        assert window.ghost() == "quick"
        time.sleep(0.02)


def test_a_word_is_accepted_and_other_candidates_can_be_seen(opened: Open) -> None:
    window = opened({"scripts": [["first of", " all", "\n"], ["second", "\n"]]})
    window.wait_for_status("scripted")
    at_end(window, "x = ")
    window.wait_for_ghost("first of all")
    window.press("Control+ArrowRight")
    assert window.saved() == CODE + "x = first"
    window.press("Escape", "End", *["Backspace"] * len("first"))
    window.run("Trigger Inline Suggestion")
    window.wait_for_ghost("first of all")
    window.press("Alt+BracketRight")
    window.wait_for_ghost("second")
    window.press("Alt+BracketLeft")
    window.wait_for_ghost("first of all")


def test_write_docstring_edits_the_file_after_a_yes(opened: Open) -> None:
    window = opened({"replies": {"Write a docstring": ["Add ", "two numbers."]}}, **ASTRAIOS)
    window.wait_for_status("astraios")
    at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Write Docstring")
    window.page.wait_for_selector(".bulk-edit-panel")
    assert window.saved() == CODE, "nothing is applied without a yes"
    window.page.click(".bulk-edit-panel .edit-checkbox")
    window.page.click('.bulk-edit-panel .monaco-button:has-text("Apply")')
    wait(lambda: "Add two numbers." in window.saved(), "docstring in the file")
    assert window.saved() == CODE.replace(":\n", ':\n    """Add two numbers."""\n')


def test_an_action_of_the_light_bulb_edits_the_file(opened: Open) -> None:
    replies = {"Simplify": ["```python\ndef add(a, b):\n    return sum((a, b))\n```"]}
    quiet = {"simplify": {"needs_confirmation": False}}
    window = opened({"replies": replies}, **ASTRAIOS, **{"starcoder.actions": quiet})
    window.wait_for_status("astraios")
    at_end(window, "")
    window.press("Shift+ArrowUp", "Shift+ArrowUp", "Control+Period")
    window.page.click('.action-widget .monaco-list-row:has-text("Simplify")')
    wait(lambda: "sum((a, b))" in window.saved(), "edit in the file")
    assert window.saved() == CODE.replace("a + b", "sum((a, b))")


def test_an_explanation_streams_and_becomes_a_comment(opened: Open) -> None:
    said = ["It **adds** ", "`a` ", "and ", "`b`.", "\n<img src=x onerror=alert(1)>", "\n[here](http://x.example)"]
    window = opened({"replies": {"Explain": said}, "token_s": 0.5}, **ASTRAIOS)
    window.wait_for_status("astraios")
    at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Explain")
    panel = window.panel()

    def seen() -> str:
        return str(panel.inner_text("#text"))

    wait(lambda: "adds" in seen(), "first words", 10, seen)
    assert "here" not in seen(), "the first words are shown before the last are written"
    assert "writing" in panel.inner_text("#state")
    wait(lambda: "here" in seen(), "last words", 15, seen)
    assert not panel.query_selector("#text img, #text a"), "what a model writes is no markup"
    assert panel.query_selector("#text code")
    wait(lambda: not panel.inner_text("#state"), "end")
    panel.click("#insert")
    window.page.wait_for_selector(".tab.dirty")
    wait(lambda: "# It" in window.saved(), "comment in the file", 10, window.file.read_text)
    lines = window.saved().splitlines()
    below = lines.index("def add(a, b):")
    assert all(line.startswith("#") for line in lines[3:below])
    assert "\n".join([*lines[:3], *lines[below:]]) + "\n" == CODE


def test_stop_ends_an_explanation_and_keeps_what_was_said(opened: Open) -> None:
    window = opened({"replies": {"Explain": ["word "] * 200}, "token_s": 0.1}, **ASTRAIOS)
    window.wait_for_status("astraios")
    at_end(window, "")
    window.press("ArrowUp")
    window.run("StarCoder: Explain")
    panel = window.panel()
    wait(lambda: "word word" in panel.inner_text("#text"), "words")
    panel.click("#stop")
    wait(lambda: panel.inner_text("#state") == "stopped", "stop")
    kept = panel.inner_text("#text")
    wait(lambda: "astraios" in window.status() and "sync" not in window.status(), "idle server")
    time.sleep(0.5)
    assert panel.inner_text("#text") == kept
    assert kept.count("word") < 150


def test_a_killed_server_is_restarted_and_the_status_tells(code: VSCode, opened: Open) -> None:
    window = opened({"load_s": 3.0})
    window.wait_for_status("loading")
    window.wait_for_status("scripted")
    (server,) = code.servers()
    server.kill()
    window.wait_for_status("loading", 30)
    window.wait_for_status("scripted")
    assert [one.pid for one in code.servers()] != [server.pid]
    at_end(window, "x = ")
    assert window.wait_for_ghost() == "return 1"


def test_restarting_gives_a_new_server_whose_commands_work(code: VSCode, opened: Open) -> None:
    window = opened({"replies": {"Explain": ["It adds."]}}, **ASTRAIOS)
    window.wait_for_status("astraios")
    (before,) = code.servers()
    window.run("StarCoder: Restart Server")
    wait(lambda: not before.is_running(), "end of the old server")
    window.wait_for_status("astraios")
    assert len(code.servers()) == 1
    at_end(window, "")
    window.press("ArrowUp", "Control+Period")
    window.page.click('.action-widget .monaco-list-row:has-text("Explain")')
    panel = window.panel()
    wait(lambda: "It adds." in panel.inner_text("#text"), "explanation", 20, lambda: panel.inner_text("#text"))


def test_settings_of_the_model_start_a_new_server_and_those_of_suggestions_do_not(code: VSCode, opened: Open) -> None:
    window = opened({"scripts": [["one", " two", " three", "\n"]]})
    window.wait_for_status("scripted")
    (before,) = code.servers()
    is_set = {"starcoder.server.command": [word for word in before.cmdline() if word != "--stdio"]}
    code.set_machine(**is_set, **{"starcoder.inline_completion.max_new_tokens": 2})
    time.sleep(2.0)  # nothing on the screen tells that the server knows
    at_end(window, "x = ")
    assert "three" not in window.wait_for_ghost("one"), "two tokens, by the same server"
    assert [one.pid for one in code.servers()] == [before.pid]
    code.set_machine(**is_set, **{"starcoder.model.threads": 1})
    wait(lambda: not before.is_running(), "end of the old server")
    window.wait_for_status("scripted")
    window.press("Escape")
    at_end(window, "\ny = ")
    assert window.wait_for_ghost("one") == "one two three", "a setting that was taken away is forgotten"


def test_two_windows_have_a_server_each_and_one_survives_the_other(code: VSCode, opened: Open) -> None:
    one, other = opened(text="a\n"), opened(text="b\n")
    for window in (one, other):
        window.wait_for_status("scripted")
    assert len(code.servers()) == 2
    at_end(other, "y = ")
    other.wait_for_ghost("return 1")
    one.page.goto("about:blank")
    other.press("Tab")
    assert other.saved() == "b\ny = return 1"
    other.press("Enter")
    other.type("z = ")
    other.wait_for_ghost("return 1")


def test_pausing_ends_suggestions_for_all_or_for_one_language(opened: Open) -> None:
    window = opened()
    window.wait_for_status("scripted")
    window.run("StarCoder: Pause or Resume in This Language")
    window.wait_for_status("not in python")
    at_end(window, "x = ")
    time.sleep(1.0)
    assert window.ghost() == ""
    window.run("StarCoder: Pause or Resume in This Language")
    window.wait_for_status("scripted")
    at_end(window, "\ny = ")
    window.wait_for_ghost("return 1")
    window.press("Escape")
    window.run("StarCoder: Pause or Resume Everywhere")
    window.wait_for_status("paused")
    at_end(window, "\nz = ")
    time.sleep(1.0)
    assert window.ghost() == ""


def test_a_folder_cannot_choose_the_program_or_the_model(code: VSCode, opened: Open, tmp_path: Path) -> None:
    folder = tmp_path / "window0" / ".vscode"
    folder.mkdir(parents=True)
    evil = {"starcoder.server.command": ["touch", str(tmp_path / "owned")], "starcoder.model.name": "evil/model"}
    (folder / "settings.json").write_text(json.dumps(evil))
    window = opened()
    window.wait_for_status("scripted")
    assert not (tmp_path / "owned").exists()
    assert len(code.servers()) == 1


def test_without_a_server_the_user_is_told_how_to_get_one(opened: Open) -> None:
    window = opened(server=[])
    window.wait_for_status("not installed")
    window.page.click('.notification-toast .monaco-button:has-text("Show How to Install")')
    page = window.page
    wait(
        lambda: any(frame.query_selector("text=Install the server") for frame in page.frames), "page on how to install"
    )


def test_what_the_model_sees_is_shown_and_settings_lie_over_the_settings_file(opened: Open) -> None:
    of_file = {"inline_completion": {"prompt_tokens": 200, "max_new_tokens": 20}}
    window = opened({"settings": of_file}, **{"starcoder.inline_completion.max_new_tokens": 33})
    window.wait_for_status("scripted")
    at_end(window, "")
    window.run("StarCoder: Show What the Model Sees Here")

    def shown() -> str:
        other = window.page.query_selector_all(".editor-group-container .monaco-editor .view-lines")[-1]
        return str(other.inner_text()).replace("\xa0", " ")

    wait(lambda: "<fim_middle>" in shown(), "prompt", 20, shown)
    assert "of 200 tokens" in shown(), "a default of VS Code's must not hide what the settings file says"
    assert "at most 33 new ones" in shown()


def test_the_bundled_model_answers(opened: Open) -> None:
    window = opened(
        text="import argparse\n\n\ndef main():\n    parser = argparse.ArgumentParser()\n",
        server=BUNDLED_SERVER,
    )
    window.wait_for_status("bundled", 90)
    ghost = ""
    for typed in ("    print(", "    for name in ", "    args = ", "    return ", "    self."):
        at_end(window, typed)
        try:
            ghost = window.wait_for_ghost(seconds=5)
            break
        except AssertionError:
            window.press("Enter")  # a small model may have nothing to say here
    before = window.saved()
    window.press("Tab")
    after = window.saved()
    assert ghost
    assert after.startswith(before.removesuffix(")")), "a suggestion may close the bracket itself"
    assert len(after) > len(before)
