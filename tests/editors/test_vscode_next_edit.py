"""Next edits in a headless VS Code: decoration, Tab and Escape."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import vscode as driver
from harness import FAKE_SERVER_COMMAND
from vscode import Window, wait

CODE = "\n".join(
    ["def load(path):", "    return path", "", "", "first = load(1)", *["# -"] * 100, "second = load(2)", ""]
)
ADDED = """() => [...document.querySelectorAll('.monaco-editor .view-line span')].map(span =>
  getComputedStyle(span, '::after').content).filter(content => content.startsWith('"')).map(content =>
  content.slice(1, -1).replaceAll('\\u00a0', ' '))"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    """A window after the function ``load`` was renamed to ``read``."""
    with driver.running(tmp_path / "vscode") as code:
        folder = tmp_path / "window"
        folder.mkdir()
        (folder / "app.py").write_text(CODE)
        silent = json.dumps({"scripts": [["\n"]]})
        code.write_machine_settings(**{"starcoder.server.command": [*FAKE_SERVER_COMMAND, silent]})
        window = code.open(folder, "app.py")
        window.wait_for_status("scripted")
        window.page.click(".monaco-editor .view-lines")
        window.press("Control+Home", *["ArrowRight"] * 4, "Control+Shift+ArrowRight")
        window.type("read")
        yield window
        window.close()


def added(window: Window) -> list[str]:
    """The texts that decorations add after the text of the editor."""
    return list(window.page.evaluate(ADDED))


def test_next_edit_is_shown_applied_and_dismissed(window: Window) -> None:
    wait(lambda: added(window) == ["read"], "the next edit", actual=lambda: added(window))
    if folder := os.environ.get("SCREENSHOTS"):
        window.page.screenshot(path=str(Path(folder) / "next-edit-vscode.png"))
    window.press("Tab")
    wait(lambda: "next edit in line 106: Tab" in added(window), "the hint", actual=lambda: added(window))
    assert window.save() == CODE.replace("load(path)", "read(path)").replace("load(1)", "read(1)")
    window.press("Tab")
    wait(lambda: added(window) == ["read"] or "read" in added(window), "the distant edit", actual=lambda: added(window))
    window.press("Escape")
    wait(lambda: added(window) == [], "no edit", actual=lambda: added(window))
    window.press("Control+End")
    window.type("x")
    window.page.wait_for_timeout(1000)
    assert added(window) == [], "the dismissed edit is not offered again"
    assert window.save().endswith("second = load(2)\nx")
    assert not window.page.query_selector(".notification-toast"), "no error message"
