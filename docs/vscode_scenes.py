"""What is photographed in VS Code, in its dark and its light theme."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from screenshot_texts import ADAPTERS, CANDIDATES, CANDIDATES_TYPED, FILE, METHOD, REPLIES, TEXT, TYPED

import vscode
from neovim import fake_server
from vscode import VSCode, Window

SIZE = {"width": 1000, "height": 560}
USER_SETTINGS = {
    "window.autoDetectColorScheme": True,
    "workbench.preferredDarkColorTheme": "Dark Modern",
    "workbench.preferredLightColorTheme": "Light Modern",
    "window.commandCenter": False,
}
THEME_CLASS = {"dark": ".monaco-workbench.vs-dark", "light": ".monaco-workbench.vs"}
ACTIONS = {"starcoder.adapters": ADAPTERS}


class Photographer:
    """Opens windows and takes each picture in both themes."""

    def __init__(self, code: VSCode, target: Path, folder: Path) -> None:
        self._code, self._target, self._folder, self._count = code, target, folder, 0

    @contextmanager
    def opened(self, server: list[str], text: str = TEXT, **settings: Any) -> Iterator[Window]:
        self._count += 1
        folder = self._folder / str(self._count) / "geometry"
        folder.mkdir(parents=True)
        (folder / FILE).write_text(text)
        self._code.write_machine_settings(**{"starcoder.server.command": server, **settings})
        window = self._code.open(folder, FILE)
        window.page.set_viewport_size(SIZE)
        try:
            yield window
        finally:
            window.close()
            vscode.wait(lambda: not self._code.servers(), "end of the server", 60)

    def shoot(self, window: Window, name: str) -> None:
        for theme, selector in THEME_CLASS.items():
            window.page.emulate_media(color_scheme=theme)
            window.page.wait_for_selector(selector)
            time.sleep(1.0)  # until the cursor and the status item have stopped changing
            window.page.screenshot(path=self._target / f"vscode-{name}-{theme}.png")


def photograph(target: Path, folder: Path) -> None:
    with vscode.running(folder) as code:
        code.write_user_settings(**USER_SETTINGS)
        photographer = Photographer(code, target, folder)
        for scene in (_bundled, _actions, _candidates, _loading, _problems):
            scene(photographer)


def _type_at_end(window: Window, text: str) -> None:
    window.page.click(".monaco-editor .view-lines")
    window.press("Control+End")
    window.type(text)


def _open_menu(window: Window) -> None:
    window.page.click(vscode.STATUS)
    window.page.wait_for_selector(".quick-input-list .monaco-list-row")


def _bundled(photographer: Photographer) -> None:
    with photographer.opened(vscode.BUNDLED_SERVER) as window:
        window.wait_for_status("bundled")
        window.run("Notifications: Clear All Notifications")
        _type_at_end(window, TYPED)
        print("VS Code:", window.wait_for_ghost())
        photographer.shoot(window, "ghost")
        window.press("Escape")
        _open_menu(window)
        photographer.shoot(window, "menu-ready")
        window.press("Escape")
        window.run("StarCoder: Choose Model")
        window.page.wait_for_selector('.quick-input-list .monaco-list-row:has-text("GB download")')
        photographer.shoot(window, "models")
        window.page.click('.quick-input-list .monaco-list-row:has-text("GB download")')
        window.page.wait_for_selector(".monaco-dialog-box")
        photographer.shoot(window, "consent")
        window.page.click('.monaco-dialog-box .monaco-button:has-text("Cancel")')
        window.run("StarCoder: Open Settings")
        window.page.wait_for_selector(".settings-editor .setting-item-contents")
        photographer.shoot(window, "settings")


def _actions(photographer: Photographer) -> None:
    server = fake_server(replies=REPLIES)
    with photographer.opened(server, TEXT + METHOD, **ACTIONS) as window:
        window.wait_for_status("astraios")
        _type_at_end(window, "")
        window.press("ArrowUp")
        window.run("StarCoder: Explain")
        panel = window.panel()
        vscode.wait(lambda: "product would do" in panel.inner_text("#text"), "explanation")
        vscode.wait(lambda: not panel.inner_text("#state"), "end of the explanation")
        photographer.shoot(window, "explanation")
        window.run("View: Close All Editors")
        window.page.dblclick(f'.explorer-folders-view .monaco-list-row[aria-label*="{FILE}"]')
        window.page.wait_for_selector(".monaco-editor .view-line")
        _type_at_end(window, "")
        window.press("ArrowUp")
        window.run("StarCoder: Simplify")
        window.page.wait_for_selector(".monaco-diff-editor .modified .view-line")
        photographer.shoot(window, "diff")
        window.run("StarCoder: Discard Change")
        window.page.wait_for_selector(".monaco-diff-editor", state="detached")
        window.page.click(".monaco-editor .view-lines", button="right")
        window.page.hover('.monaco-menu .action-label:has-text("StarCoder")')
        window.page.wait_for_selector('.monaco-menu .action-label:has-text("Simplify")')
        photographer.shoot(window, "context-menu")


def _candidates(photographer: Photographer) -> None:
    with photographer.opened(fake_server(scripts=CANDIDATES)) as window:
        window.wait_for_status("scripted")
        _type_at_end(window, CANDIDATES_TYPED)
        window.wait_for_ghost()
        window.press("Alt+BracketRight")
        window.wait_for_ghost("sides * length**2 / 4")
        window.page.hover(vscode.GHOST.split(",")[0])
        photographer.shoot(window, "candidates")


def _loading(photographer: Photographer) -> None:
    with photographer.opened(fake_server(load_s=60.0, load_steps=60)) as window:
        window.wait_for_status("reading the weights")
        photographer.shoot(window, "loading")
        _open_menu(window)
        photographer.shoot(window, "menu-loading")


def _problems(photographer: Photographer) -> None:
    with photographer.opened([]) as window:
        window.wait_for_status("not installed")
        window.page.wait_for_selector(".notification-toast")
        _open_menu(window)
        photographer.shoot(window, "menu-missing")
    with photographer.opened(fake_server(failure="There is no folder /models/ours. Correct `model.name`.")) as window:
        window.wait_for_status("failed")
        _open_menu(window)
        photographer.shoot(window, "menu-failed")
    crash = "echo 'Bus error: no memory for the weights' >&2; exit 1"
    with photographer.opened(["sh", "-c", crash]) as window:
        window.wait_for_status("stopped")
        _open_menu(window)
        photographer.shoot(window, "menu-stopped")
