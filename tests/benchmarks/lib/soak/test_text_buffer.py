"""The editor's document of the simulated user, against the documents of the server."""

from __future__ import annotations

import random
from typing import Any

from lib.soak.text_buffer import TextBuffer
from starcoder_ls.lsp.documents.document import Document, Edit, Position
from starcoder_ls.lsp.positions import Encoding

LINES = ["def f(x):", '    return "😀é" + x', "", "\tnext"]


def to_edit(change: dict[str, Any]) -> Edit:
    if "range" not in change:
        return Edit(change["text"])
    start, end = (Position(*change["range"][side].values()) for side in ("start", "end"))
    return Edit(change["text"], start, end)


def random_change(buffer: TextBuffer, rng: random.Random) -> dict[str, Any] | None:
    line = rng.randrange(len(buffer.lines))
    buffer.move_to(line, rng.randint(0, len(buffer.lines[line])))
    choice = rng.random()
    if choice < 0.4:
        return buffer.insert(rng.choice(("x", "😀", "\n    ", "two\nlines")))
    if choice < 0.6:
        return buffer.delete_before(rng.randint(1, 5))
    return buffer.reload(list(LINES)) if choice > 0.98 else buffer.undo()


def test_server_has_the_same_text_after_each_change() -> None:
    rng = random.Random(1)
    buffer = TextBuffer("file:///a.py", list(LINES))
    document = Document(buffer.uri, "python", buffer.version, buffer.text, Encoding.UTF_16)
    for _ in range(500):
        if (change := random_change(buffer, rng)) is not None:
            document.change(buffer.version, [to_edit(change)])
            assert document.text == buffer.text
            assert buffer.column_of(buffer.line, buffer.cursor["character"]) == buffer.column


def test_undo_of_all_changes_restores_the_text() -> None:
    buffer = TextBuffer("file:///a.py", list(LINES))
    buffer.move_to(1, 13)
    for text in ("a", "\n", "😀"):
        buffer.insert(text)
    buffer.delete_before(1)
    while buffer.undo() is not None:
        pass
    assert buffer.lines == LINES
    assert (buffer.line, buffer.column) == (1, 13)
