from __future__ import annotations

import pytest

from fakes import ScriptedEngine
from harness import async_test, initialized_client
from starcoder_ls.lsp.documents.document import Document, Edit, Position
from starcoder_ls.lsp.positions import Encoding
from starcoder_ls.session.text_sync import _cursor_offset

START, END = Position(0, 0), Position(0, 4)


@pytest.mark.parametrize(
    ("text", "edits", "offset"),
    [
        ("x = ", [Edit("= ", Position(0, 2), Position(0, 2))], 4),
        ("f()", [Edit("()", Position(0, 1), Position(0, 1))], 2),
        ("f()", [Edit("(", Position(0, 1), Position(0, 1)), Edit(")", Position(0, 2), Position(0, 2))], 2),
        ("x", [Edit("", START, END)], 0),
        ("x" * 500, [Edit("x" * 500, START, START)], None),
        ("x", [Edit("x")], None),
        ("abcde", [Edit(char, START, START) for char in "abcde"], None),
    ],
    ids=["typed", "pair", "closer", "deleted", "pasted", "whole text", "many edits"],
)
def test_cursor_is_known_after_a_key_stroke_only(text: str, edits: list[Edit], offset: int | None) -> None:
    document = Document("file:///a.py", "python", 1, text, Encoding.UTF_16)
    assert _cursor_offset(document, edits) == offset


@async_test
async def test_notebook_opened_as_the_text_of_its_file_gets_no_suggestions() -> None:
    engine, uri = ScriptedEngine(), "file:///project/analysis.ipynb"
    async with initialized_client(engine) as client:
        client.open(uri, '{"cells": [', language="json")
        end = {"line": 0, "character": 11}
        client.change(uri, 2, {"range": {"start": end, "end": end}, "text": "{"})
        assert await client.inline_completion(uri, 0, 12, is_invoked=True) == []
        assert engine.all_requests == []


@async_test
async def test_notebook_that_the_editor_shows_as_a_script_gets_suggestions() -> None:
    engine = ScriptedEngine([["sum", "(rows)", "\n"]])
    async with initialized_client(engine) as client:
        client.open("file:///project/analysis.ipynb", "# %%\ntotal = ")
        (item,) = await client.inline_completion("file:///project/analysis.ipynb", 1, 8)
        assert item["insertText"] == "sum(rows)"
