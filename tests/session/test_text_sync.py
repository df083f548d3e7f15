from __future__ import annotations

import pytest

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
