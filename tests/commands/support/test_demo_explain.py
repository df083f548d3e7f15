from __future__ import annotations

import asyncio
import io
import threading

from rich.console import Console

from fakes import ScriptedEngine
from starcoder_ls.commands.support import demo_explain
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.generation import Phase
from starcoder_ls.settings import validate

SETTINGS = validate({"adapters": {"one": {"path": "x"}}}, "a test")


class Screen(io.StringIO):
    """Records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[str] = []

    def write(self, text: str) -> int:
        self.frames.append(text)
        return super().write(text)


def explain(words: list[str], is_terminal: bool) -> Screen:
    engine, is_ready = ScriptedEngine([words, ["one"]], token_s=0.02, load_steps=0, adapters=["one"]), threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    is_ready.wait()
    screen = Screen()
    console = Console(file=screen, force_terminal=is_terminal, width=80)
    functions = [("packaging.utils", "def is_normalized_name")]
    try:
        cursor = Cursor("x = ", 4, "python")
        asyncio.run(demo_explain.explain_functions(console, engine, SETTINGS, functions, cursor))
    finally:
        engine.close()
    return screen


def test_explanation_is_streamed_and_the_completion_reported() -> None:
    words = [f"word{number} " for number in range(30)]
    screen = explain(words, is_terminal=True)
    frames = [frame for frame in screen.frames if "word" in frame]
    assert "word0" in frames[0]
    assert "word29" not in frames[0]
    assert "word29" in frames[-1]
    assert "the base model answered after" in frames[-1]


def test_explanation_is_printed_once_if_output_is_no_terminal() -> None:
    written = explain(["All ", "of it."], is_terminal=False).getvalue()
    assert written.count("explained by the (small) adapter") == 1
    assert "All of it." in written
    assert "\x1b" not in written
