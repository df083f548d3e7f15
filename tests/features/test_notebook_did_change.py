from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine, text_before_cursor
from fim_tokens import JUPYTER, STARCODER
from harness import async_test, initialized_client
from notebook_client import (
    cell,
    cell_uri,
    change_notebook,
    complete_at_end,
    open_notebook,
    text_content,
    text_document,
)
from starcoder_ls.lsp.client import Client

CELLS = (("a", "first = 1"), ("b", "second = 2"), ("c", "x = "))
Change = dict[str, Any]


async def text_read(client: Client, engine: ScriptedEngine) -> str:
    """The text before the cursor at the end of the cell ``c``."""
    engine.all_requests.clear()
    await complete_at_end(client, "c", "x = ")
    return text_before_cursor(engine.requests[-1])


def replace_all(text: str) -> Change:
    return {"text": text}


def insert_at_start(text: str) -> Change:
    start = {"line": 0, "character": 0}
    return {"range": {"start": start, "end": start}, "text": text}


def structure(start: int, delete_count: int, *cells: Change, **fields: Any) -> Change:
    array = {"start": start, "deleteCount": delete_count, "cells": list(cells)}
    return {"structure": {"array": array, **fields}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (text_content("a", 2, replace_all("new = 1")), "new = 1\n\nsecond = 2\n\nx = "),
        (text_content("a", 2, insert_at_start("# ")), "# first = 1\n\nsecond = 2\n\nx = "),
        (
            structure(1, 0, cell("d"), didOpen=[text_document("d", "added = 3")]),
            "first = 1\n\nadded = 3\n\nsecond = 2\n\nx = ",
        ),
        (structure(0, 1, didClose=[{"uri": cell_uri("a")}]), "second = 2\n\nx = "),
        (structure(0, 2, cell("b"), cell("a")), "second = 2\n\nfirst = 1\n\nx = "),
        (structure(0, 2, cell("b"), cell("b"), cell("unknown")), "second = 2\n\nx = "),
        (structure(0, 1), "second = 2\n\nx = "),
        (
            structure(
                0, 1, cell("a"), didClose=[{"uri": cell_uri("a")}], didOpen=[text_document("a", "1", language="r")]
            ),
            "# 1\n\nsecond = 2\n\nx = ",
        ),
    ],
    ids=["text", "edit", "added", "removed", "moved", "twice or unknown", "removed but open", "language"],
)
@async_test
async def test_changed_cells_are_read_as_they_are_now(change: Change, expected: str) -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, CELLS)
        assert await text_read(client, engine) == "first = 1\n\nsecond = 2\n\nx = "
        change_notebook(client, **change)
        assert await text_read(client, engine) == expected


@async_test
async def test_change_of_the_completed_cell_keeps_what_surrounds_it() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, CELLS)
        await complete_at_end(client, "c", "x = ")
        change_notebook(client, **text_content("c", 2, replace_all("x = second + ")))
        await complete_at_end(client, "c", "x = second + ")
        assert text_before_cursor(engine.requests[-1]) == "first = 1\n\nsecond = 2\n\nx = second + "


@async_test
async def test_new_output_of_a_cell_is_read() -> None:
    engine = ScriptedEngine()
    engine.set_status(special_tokens=STARCODER | JUPYTER)
    async with initialized_client(engine) as client:
        open_notebook(client, CELLS)
        change_notebook(client, data=[cell("b", "two")])
        await complete_at_end(client, "c", "x = ")
        assert "two" in engine.requests[-1].parts


@async_test
async def test_suggestion_that_is_typed_stays_while_the_model_runs() -> None:
    engine = ScriptedEngine([["alpha", " beta", "\n"]])
    async with initialized_client(engine) as client:
        open_notebook(client, CELLS)
        (item,) = await complete_at_end(client, "c", "x = ")
        assert item["insertText"] == "alpha beta"
        end = {"line": 0, "character": 4}
        change_notebook(client, **text_content("c", 2, {"range": {"start": end, "end": end}, "text": "alp"}))
        (rest,) = await complete_at_end(client, "c", "x = alp")
        assert rest["insertText"] == "ha beta"
        assert len(engine.requests) == 1, "no second generation"


@async_test
async def test_change_of_an_unknown_notebook_or_cell_is_ignored() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        change_notebook(client, **structure(0, 0, cell("a"), didOpen=[text_document("a", "x")]))
        open_notebook(client, CELLS)
        change_notebook(client, **text_content("unknown", 2, insert_at_start("y")))
        change_notebook(client)
        assert await text_read(client, engine) == "first = 1\n\nsecond = 2\n\nx = "


@async_test
async def test_edit_that_does_not_fit_puts_only_its_cell_out_of_sync() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, CELLS)
        line = {"line": 7, "character": 0}
        change_notebook(client, **text_content("a", 0, {"range": {"start": line, "end": line}, "text": "y"}))
        assert await complete_at_end(client, "a", "first = 1") is None
        assert await text_read(client, engine) == "second = 2\n\nx = "


@async_test
async def test_change_that_cannot_be_read_puts_the_cells_out_of_sync() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, CELLS)
        client.open("file:///project/app.py", "y = ")
        change_notebook(client, structure={"array": {"start": -1, "deleteCount": 0}})
        assert await complete_at_end(client, "c", "x = ") is None
        assert await client.inline_completion("file:///project/app.py", 0, 4), "other documents stay"
