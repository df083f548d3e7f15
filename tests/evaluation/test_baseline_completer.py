from __future__ import annotations

import asyncio
import threading

import pytest

from fakes import ScriptedEngine
from starcoder_ls.context.source_files import Source
from starcoder_ls.evaluation import baseline_completer
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Phase, SpecialToken
from starcoder_ls.settings import InlineCompletion

TEXT = "def label(item):\n    name = item.name\n    return name\n"
HOLE = Hole(Kind.LINE, Source("", "a.py", TEXT), TEXT.index("name ="), TEXT.index("\n    return"))


@pytest.mark.parametrize(
    ("text", "length"), [("", None), ("\n\n", None), ("a", None), ("a\n", 1), ("\n  a b\nc", 6), (" \n", None)]
)
def test_stop_rule_ends_after_the_first_nonblank_line(text: str, length: int | None) -> None:
    assert baseline_completer.stop_after_first_line(text) == length


@pytest.mark.parametrize(
    ("script", "suggestion"),
    [
        (["name", " = 1", "\n", "more"], "name = 1"),
        (["\n", "    x = 1", "\n    y"], "\n    x = 1"),
        (["\n"], ""),
        (["x", " "], "x "),
    ],
)
def test_suggestion_is_the_unfiltered_first_line(script: list[str], suggestion: str) -> None:
    engine = ScriptedEngine([script])
    is_ready = threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    is_ready.wait()
    try:
        text, elapsed_ms = asyncio.run(baseline_completer.suggest_first_line(engine, HOLE, InlineCompletion()))
    finally:
        engine.close()
    assert text == suggestion
    assert elapsed_ms > 0
    (request,) = engine.requests
    assert request.parts == (
        SpecialToken("<fim_prefix>"), SpecialToken("<fim_suffix>"), "\n    return name\n", SpecialToken("<fim_middle>"),
        "def label(item):\n    ",
    )  # fmt: skip
    assert request.forced_prefix == ""
    assert request.lookup_text == ()
