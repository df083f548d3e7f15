"""Next edits in a headless VS Code: decoration, Tab and Escape."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vscode as driver
from vscode import OpenWindow, Window, wait

CODE = "\n".join(
    ["def load(path):", "    return path", "", "", "first = load(1)", *["# -"] * 100, "second = load(2)", ""]
)
ADDED = """() => [...document.querySelectorAll('.monaco-editor .view-line span')].map(span =>
  getComputedStyle(span, '::after').content).filter(content => content.startsWith('"')).map(content =>
  content.slice(1, -1).replaceAll('\\u00a0', ' '))"""

pytestmark = driver.MARKS


@pytest.fixture
def window(open_window: OpenWindow) -> Window:
    """A window after the function ``load`` was renamed to ``read``."""
    window = open_window({"scripts": [["\n"]]}, text=CODE)
    window.wait_for_status("scripted")
    window.page.click(".monaco-editor .view-lines")
    window.press("Control+Home", *["ArrowRight"] * 4, "Control+Shift+ArrowRight")
    window.type("read")
    return window


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
