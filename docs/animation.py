"""Records docs/typing-session.svg, the animation in README.md: a session in Neovim with the bundled model.

The keys of SESSION are typed into a real Neovim with a real server; after each, the screen is taken over as Neovim
sends it to a graphical front end. Only the pace is set here: a frame is shown for KEY_S, or longer where there is
something to read. `make screenshots` runs this script.
"""

from __future__ import annotations

import html
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from neovim_scenes import BUNDLED_SETUP  # noqa: E402
from neovim_screen import Screen  # noqa: E402
from screenshot_texts import FILE, TEXT  # noqa: E402

import neovim  # noqa: E402
from isolation import isolated_environment  # noqa: E402

COLUMNS, ROWS = 74, 20
KEY_S, GHOST_S, ACCEPTED_S, END_S = 0.14, 1.6, 0.9, 2.5
CHAR_WIDTH, LINE_HEIGHT = 8.4, 19.0  # pixels of a monospaced font of 14 pixels
FONTS = "'DejaVu Sans Mono',Menlo,Consolas,monospace"
SESSION = (
    "        self.c",
    "    def set_color(self, color):\n        self",
    "def load(path):\n    with open(path",
)
"""Each text is typed on a new line; the suggestion after it is accepted with Tab."""


@dataclass(frozen=True)
class Frame:
    """The rows of the screen as SVG, and how long they are shown."""

    rows: tuple[str, ...]
    seconds: float


def record(folder: Path) -> tuple[list[Frame], str]:
    """The frames, and the background colour."""
    (folder / FILE).write_text(TEXT)
    with neovim.running(folder, folder / FILE, BUNDLED_SETUP) as editor:
        editor.nvim.command(f"cd {folder}")
        editor.wait_until_ready(600)
        editor.type("G")
        frames: list[Frame] = []

        def take(seconds: float) -> None:
            screen = Screen(editor.nvim, COLUMNS, ROWS, styles)
            editor.nvim.ui_detach()
            frames.append(Frame(tuple(_row_svg(screen, number) for number in range(ROWS)), seconds))
            colors.append(f"#{screen.colors[1]:06x}")

        colors: list[str] = []
        styles: dict[int, dict[str, Any]] = {0: {}}
        for number, text in enumerate(SESSION):
            editor.type("o" if number == 0 else "<Esc>Go<CR>")
            editor.type("<C-u>")  # the indentation that Neovim gives the new line
            for key in text:
                editor.type("<CR><C-u>" if key == "\n" else "<lt>" if key == "<" else key)
                time.sleep(0.05)
                take(KEY_S)
            print(repr(text), "->", repr(editor.wait_for_ghost()))
            time.sleep(0.3)
            take(GHOST_S)
            editor.type("<Tab>")
            editor.wait(f"{neovim.GHOST} == '' or true")
            time.sleep(0.3)
            take(ACCEPTED_S if number + 1 < len(SESSION) else END_S)
    return frames, colors[-1]


def _row_svg(screen: Screen, number: int) -> str:
    """Texts and backgrounds of a row, with neighbouring cells of the same style as one element."""
    y = number * LINE_HEIGHT
    parts, column = [], 0
    for text, front, back, is_italic in screen.runs(number):
        x, width = column * CHAR_WIDTH, len(text) * CHAR_WIDTH
        if back != screen.colors[1]:
            size = f'width="{width:.1f}" height="{LINE_HEIGHT}"'
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="#{back:06x}"/>')
        if words := text.strip():
            x += (len(text) - len(text.lstrip())) * CHAR_WIDTH
            words = html.escape(words).replace(" ", "\N{NO-BREAK SPACE}")  # blanks are collapsed
            style = ' font-style="italic"' if is_italic else ""
            parts.append(f'<text x="{x:.1f}" y="{y + 14:.1f}" fill="#{front:06x}"{style}>{words}</text>')
        column += len(text)
    return "".join(parts)


def render_svg(frames: list[Frame], background: str) -> str:
    """An SVG that shows the frames in a loop. A row that several frames share is written once."""
    total = sum(frame.seconds for frame in frames)
    starts = [sum(frame.seconds for frame in frames[:index]) / total for index in range(len(frames))]
    width, height = COLUMNS * CHAR_WIDTH + 24, ROWS * LINE_HEIGHT + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">',
        "<title>Typing in Neovim: grey suggestions of the bundled model, accepted with Tab</title>",
        f'<rect width="100%" height="100%" rx="6" fill="{background}"/>',
        f'<g transform="translate(12,12)" font-family="{FONTS}" font-size="14">',
    ]
    for number in range(ROWS):
        contents = dict.fromkeys(frame.rows[number] for frame in frames)
        lines += [
            _animated(content, [frame.rows[number] == content for frame in frames], starts, total)
            for content in contents
            if content
        ]
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _animated(content: str, is_shown: list[bool], starts: list[float], total: float) -> str:
    if all(is_shown):
        return f"<g>{content}</g>"
    changes = [index for index, shown in enumerate(is_shown) if index == 0 or shown != is_shown[index - 1]]
    values = ";".join("visible" if is_shown[index] else "hidden" for index in changes)
    times = ";".join(f"{starts[index]:.4f}" for index in changes)
    animation = (
        f'<animate attributeName="visibility" calcMode="discrete" dur="{total:.2f}s" repeatCount="indefinite" '
        f'values="{values}" keyTimes="{times}"/>'
    )
    return f'<g visibility="{"visible" if is_shown[-1] else "hidden"}">{animation}{content}</g>'


def main() -> int:
    with isolated_environment(), tempfile.TemporaryDirectory() as folder:
        frames, background = record(Path(folder))
    (ROOT / "docs" / "typing-session.svg").write_text(render_svg(frames, background), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
