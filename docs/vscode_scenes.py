"""What is photographed in VS Code, in its dark and its light theme."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from screenshot_texts import (
    ADAPTERS,
    CANDIDATES,
    CANDIDATES_TYPED,
    FILE,
    METHOD,
    NEW_NAME,
    NOTEBOOK_CELLS,
    NOTEBOOK_FILE,
    NOTEBOOK_TYPED,
    OLD_NAME,
    RENAMED,
    RENAMED_FILE,
    RENAMED_LINE,
    REPLIES,
    TEXT,
    TYPED,
)

import vscode
from neovim import fake_server
from notebook_client import code_cell, write_notebook
from vscode import VSCode, Window

SIZE = {"width": 1000, "height": 560}
USER_SETTINGS = {
    "window.autoDetectColorScheme": True,
    "workbench.preferredDarkColorTheme": "Dark Modern",
    "workbench.preferredLightColorTheme": "Light Modern",
    "window.commandCenter": False,
    # Else the first file that is opened is text: the contributions of extensions are not read yet.
    "workbench.editorAssociations": {"*.ipynb": "jupyter-notebook"},
}
THEME_CLASS = {"dark": ".monaco-workbench.vs-dark", "light": ".monaco-workbench.vs"}
ACTIONS = {"starcoder.adapters": ADAPTERS}
DECORATED = """text => [...document.querySelectorAll('.monaco-editor .view-line span')].some(
    span => getComputedStyle(span, '::after').content.includes(text))"""


class Photographer:
    """Opens windows and takes each picture in both themes."""

    def __init__(self, code: VSCode, target: Path, folder: Path) -> None:
        self._code, self._target, self._folder, self._count = code, target, folder, 0

    @contextmanager
    def opened(self, server: list[str], text: str = TEXT, file: str = FILE, **settings: Any) -> Iterator[Window]:
        """A window on a folder with one file; if that is a notebook, its cells are ``NOTEBOOK_CELLS``."""
        self._count += 1
        folder = self._folder / str(self._count) / "geometry"
        folder.mkdir(parents=True)
        if file.endswith(".ipynb"):
            write_notebook(folder / file, *map(code_cell, NOTEBOOK_CELLS))
        else:
            (folder / file).write_text(text)
        self._code.write_machine_settings(**{"starcoder.server.command": server, **settings})
        window = self._code.open(folder, file)
        window.page.set_viewport_size(SIZE)
        try:
            yield window
        finally:
            window.close()
            vscode.wait(lambda: not self._code.servers(), "end of the server")

    def settings_file(self, text: str) -> str:
        """The path of a new settings file."""
        file = self._folder / "settings.toml"
        file.write_text(text)
        return str(file)

    def kill_servers(self) -> None:
        for server in self._code.servers():
            server.kill()

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
        for scene in (_bundled, _actions, _candidates, _next_edit, _notebook, _loading, _problems, _settings_error):
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
        window.press("F1")
        window.type("StarCoder")
        window.page.wait_for_selector('.quick-input-list .monaco-list-row:has-text("Rewrite")')
        photographer.shoot(window, "palette")
        window.press("Escape")
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


def _next_edit(photographer: Photographer) -> None:
    with photographer.opened(fake_server(scripts=[["\n"]]), RENAMED, RENAMED_FILE) as window:
        window.wait_for_status("scripted")
        window.page.click(".monaco-editor .view-lines")
        window.press("Control+Home", *["ArrowDown"] * (RENAMED_LINE - 1), *["ArrowRight"] * len("def "))
        window.press(*["Shift+ArrowRight"] * len(OLD_NAME))
        window.type(NEW_NAME)
        window.page.wait_for_function(DECORATED, arg=NEW_NAME)
        photographer.shoot(window, "next-edit")


def _notebook(photographer: Photographer) -> None:
    with photographer.opened(vscode.BUNDLED_SERVER, file=NOTEBOOK_FILE) as window:
        window.wait_for_status("bundled")
        window.run("Notifications: Clear All Notifications")
        window.page.locator(".code-cell-row .monaco-editor .view-lines").last.click()
        window.press("Control+End")
        window.type(NOTEBOOK_TYPED)
        window.wait_for_ghost()
        photographer.shoot(window, "notebook")


def _loading(photographer: Photographer) -> None:
    with photographer.opened(fake_server(load_s=300.0, load_steps=100)) as window:
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
    with photographer.opened(fake_server()) as window:
        window.wait_for_status("scripted")
        photographer.kill_servers()
        window.page.wait_for_selector(".notification-toast")
        photographer.shoot(window, "crash")


def _settings_error(photographer: Photographer) -> None:
    server = [*vscode.BUNDLED_SERVER, "--settings", photographer.settings_file("[inline_completion]\nmax_lnes = 3\n")]
    with photographer.opened(server) as window:
        window.wait_for_status("failed")
        window.page.wait_for_selector(".notification-toast")
        photographer.shoot(window, "settings-error")
