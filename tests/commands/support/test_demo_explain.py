from __future__ import annotations

import asyncio
import io

from rich.console import Console

from fakes import ScriptedEngine
from starcoder_ls.commands.support import demo_explain
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.settings import check

SETTINGS = check({"adapters": {"one": {"path": "x"}}}, "a test")


class Screen(io.StringIO):
    """Keeps what was written each time, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[str] = []

    def write(self, text: str) -> int:
        self.frames.append(text)
        return super().write(text)


def shown(words: list[str], is_terminal: bool) -> Screen:
    engine = ScriptedEngine([words, ["one"]], token_s=0.02, load_steps=0, adapters=["one"])
    engine.start()
    while engine.status().phase != "ready":
        pass
    screen = Screen()
    console = Console(file=screen, force_terminal=is_terminal, width=80)
    functions = [("packaging.utils", "def is_normalized_name")]
    try:
        asyncio.run(demo_explain.show(console, engine, SETTINGS, functions, (Cursor("x = ", 4, "python"), "one")))
    finally:
        engine.close()
    return screen


def test_text_is_on_the_screen_as_it_is_spoken_and_the_completion_is_reported() -> None:
    words = [f"word{number} " for number in range(30)]
    screen = shown(words, is_terminal=True)
    frames = [frame for frame in screen.frames if "word" in frame]
    assert "word0" in frames[0]
    assert "word29" not in frames[0]
    assert "word29" in frames[-1]
    assert "answered by the base after" in frames[-1]


def test_elsewhere_only_the_whole_is_written() -> None:
    written = shown(["All ", "of it."], is_terminal=False).getvalue()
    assert written.count("explained by the adapter") == 1
    assert "All of it." in written
    assert "\x1b" not in written
