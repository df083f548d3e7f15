"""Takes the pictures in README.md: ghost text of the bundled model in VS Code and in Neovim.

`make screenshots` installs the editors and runs this script. VS Code is photographed in its browser. Neovim sends its
screen, cell by cell, to this script as to a graphical front end; the picture is drawn from these cells.
"""

from __future__ import annotations

import html
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import neovim  # noqa: E402
import vscode  # noqa: E402
from isolation import isolated_environment  # noqa: E402

FILE = "shapes.py"
TEXT = '''"""Shapes, and what can be said of them."""

import math


class Polygon:
    """A regular polygon."""

    def __init__(self, name, sides, length, color="red"):
        self.name = name
        self.sides = sides
        self.length = length
'''
TYPED = "        self.c"
COLUMNS, ROWS = 88, 22
BUNDLED_SETUP = f"""
require("starcoder").setup({{ cmd = {neovim.lua(neovim.BUNDLED_SERVER)}, maps = true }})
vim.o.number, vim.o.laststatus, vim.o.termguicolors, vim.o.shortmess = true, 2, true, "I"
vim.o.statusline = " %f %m%=%{{v:lua.require'starcoder'.statusline()}}  %l:%c "
"""


def photograph_vscode(target: Path, folder: Path) -> None:
    with vscode.running(folder) as code:
        code.write_user_settings(**{"workbench.colorTheme": "Default Dark Modern", "window.commandCenter": False})
        code.write_machine_settings(**{"starcoder.server.command": vscode.BUNDLED_SERVER})
        (folder / "geometry").mkdir()
        (folder / "geometry" / FILE).write_text(TEXT)
        window = code.open(folder / "geometry", FILE)
        window.page.set_viewport_size({"width": 960, "height": 520})
        window.wait_for_status("bundled")
        window.run("Notifications: Clear All Notifications")
        window.page.click(".monaco-editor .view-lines")
        window.press("Control+End")
        window.type(TYPED)
        print("VS Code:", window.wait_for_ghost())
        time.sleep(1.0)  # until the cursor and the status item have stopped changing
        window.page.screenshot(path=target)


def photograph_neovim(target: Path, folder: Path) -> None:
    folder = folder / "neovim"
    folder.mkdir()
    (folder / FILE).write_text(TEXT)
    with neovim.running(folder, folder / FILE, BUNDLED_SETUP) as editor:
        editor.nvim.command(f"cd {folder}")
        editor.wait_until_ready()
        editor.type("Go" + TYPED.lstrip())
        print("Neovim:", editor.wait_for_ghost())
        time.sleep(0.5)
        screen = Screen(editor.nvim, COLUMNS, ROWS)
    photograph_html(screen.as_html(), target)


class Screen:
    """The screen that Neovim sends to a front end (`:help ui-linegrid`)."""

    def __init__(self, nvim: Any, columns: int, rows: int, styles: dict[int, dict[str, Any]] | None = None) -> None:
        """``styles`` are those of an earlier screen: Neovim defines each once."""
        self.cells = [[(" ", 0)] * columns for _ in range(rows)]
        self.styles = {0: {}} if styles is None else styles
        self.colors, self.cursor, self.is_drawn = (0, 0), (0, 0), False
        nvim.ui_attach(columns, rows, rgb=True, ext_linegrid=True)
        while not self.is_drawn:
            _, name, events = nvim.next_message()
            for event in events if name == "redraw" else []:
                for arguments in event[1:]:
                    self._apply(event[0], arguments)

    def _apply(self, name: str, arguments: list[Any]) -> None:
        match name:
            case "default_colors_set":
                self.colors = (arguments[0], arguments[1])
            case "hl_attr_define":
                self.styles[arguments[0]] = arguments[1]
            case "grid_cursor_goto":
                self.cursor = (arguments[1], arguments[2])
            case "grid_line":
                self._draw(*arguments[1:4])
            case "flush":
                self.is_drawn = any(text.strip() for row in self.cells for text, _ in row)

    def _draw(self, row: int, column: int, cells: list[list[Any]]) -> None:
        style = 0
        for text, *more in cells:
            style = more[0] if more else style
            for _ in range(more[1] if len(more) > 1 else 1):
                self.cells[row][column] = (text, style)
                column += 1

    def as_html(self) -> str:
        rows = []
        for number, row in enumerate(self.cells):
            spans = []
            for column, (text, style) in enumerate(row):
                is_cursor = (number, column) == self.cursor
                spans.append(f'<span style="{self._css(style, is_cursor)}">{html.escape(text)}</span>')
            rows.append("".join(spans))
        page = "margin:0;padding:12px;width:max-content;font:15px/1.3 'DejaVu Sans Mono',monospace"
        return f'<pre style="{page};background:#{self.colors[1]:06x}">' + "\n".join(rows) + "</pre>"

    def runs(self, number: int) -> list[tuple[str, int, int, bool]]:
        """Text, foreground, background and whether it is italic, of neighbouring cells of a row with one style."""
        runs: list[tuple[str, int, int, bool]] = []
        for column, (text, style) in enumerate(self.cells[number]):
            look = (
                *self._colors_of(style, (number, column) == self.cursor),
                bool(self.styles.get(style, {}).get("italic")),
            )
            if runs and runs[-1][1:] == look:
                runs[-1] = (runs[-1][0] + text, *look)
            else:
                runs.append((text, *look))
        return runs

    def _colors_of(self, style: int, is_cursor: bool) -> tuple[int, int]:
        attributes = self.styles.get(style, {})
        front, back = attributes.get("foreground", self.colors[0]), attributes.get("background", self.colors[1])
        return (back, front) if bool(attributes.get("reverse")) != is_cursor else (front, back)

    def _css(self, style: int, is_cursor: bool) -> str:
        attributes = self.styles.get(style, {})
        front, back = self._colors_of(style, is_cursor)
        css = f"color:#{front:06x};background:#{back:06x}"
        css += ";font-weight:bold" if attributes.get("bold") else ""
        return css + (";font-style:italic" if attributes.get("italic") else "")


def photograph_html(page_html: str, target: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.set_content(page_html)
        page.locator("pre").screenshot(path=target)
        browser.close()


def main() -> int:
    with isolated_environment(), tempfile.TemporaryDirectory() as folder:
        photograph_neovim(ROOT / "docs" / "neovim.png", Path(folder))
        photograph_vscode(ROOT / "docs" / "vscode.png", Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
