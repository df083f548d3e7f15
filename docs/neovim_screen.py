"""The screen of a Neovim, which sends it cell by cell as to a graphical front end, as HTML and as a picture."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from browser import running_browser


class Screen:
    """The screen that Neovim sends to a front end (`:help ui-linegrid`)."""

    def __init__(self, nvim: Any, columns: int, rows: int, styles: dict[int, dict[str, Any]] | None = None) -> None:
        """``styles`` are those of an earlier screen: Neovim defines each once."""
        self._nvim = nvim
        self.cells = [[(" ", 0)] * columns for _ in range(rows)]
        self.styles = {0: {}} if styles is None else styles
        self.colors, self.cursor, self.is_drawn = (0, 0), (0, 0), False
        nvim.exec_lua("vim.rpcnotify(...)", nvim.channel_id, "attached")
        while nvim.next_message()[1] != "attached":
            pass  # what was sent to an earlier screen
        nvim.ui_attach(columns, rows, rgb=True, ext_linegrid=True)
        while not self.is_drawn:
            self._read()

    def wait_for(self, text: str) -> None:
        """Draw what Neovim sends until the screen contains ``text``."""
        while text not in self.text():
            self._read()

    def text(self) -> str:
        return "\n".join("".join(text for text, _ in row) for row in self.cells)

    def _read(self) -> None:
        """Wait for the next message of Neovim and draw it."""
        _, name, events = self._nvim.next_message()
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
            case "grid_clear":
                self.cells = [[(" ", 0)] * len(row) for row in self.cells]
            case "grid_scroll":
                self._scroll(*arguments[1:6])
            case "grid_line":
                self._draw(*arguments[1:4])
            case "flush":
                self.is_drawn = any(text.strip() for row in self.cells for text, _ in row)

    def _scroll(self, top: int, bottom: int, left: int, right: int, count: int) -> None:
        old = [list(row) for row in self.cells]
        for row in range(top, bottom):
            if top <= row + count < bottom:
                self.cells[row][left:right] = old[row + count][left:right]

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
        css += ";text-decoration:line-through" if attributes.get("strikethrough") else ""
        return css + (";font-style:italic" if attributes.get("italic") else "")


def photograph_html(page_html: str, target: Path) -> None:
    with running_browser() as browser:
        page = browser.new_page()
        page.set_content(page_html)
        page.locator("pre").screenshot(path=target)
