from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from fakes import ScriptedEngine, text_before_cursor
from harness import URI, async_test, initialized_client


def edit(start: tuple[int, int], end: tuple[int, int], text: str) -> dict[str, Any]:
    first, last = ({"line": line, "character": character} for line, character in (start, end))
    return {"range": {"start": first, "end": last}, "text": text}


@async_test
async def test_edits_of_one_notification_are_applied_in_order() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "one\ntwo\f\nthree")
        client.change(URI, 2, edit((2, 0), (2, 5), "3"), edit((0, 0), (1, 4), "a\n"), edit((1, 0), (2, 1), "x = "))
        await client.inline_completion(URI, 1, 4)
        assert text_before_cursor(engine.requests[0]) == "a\nx = "


@async_test
async def test_change_without_a_range_replaces_the_whole_text() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "one\ntwo")
        client.change(URI, 2, {"text": "y = "}, edit((0, 0), (0, 1), "z"))
        await client.inline_completion(URI, 0, 4)
        assert text_before_cursor(engine.requests[0]) == "z = "


BEHIND_THE_END = {"line": 7, "character": 7}


def whole_range(**ends: Any) -> dict[str, Any]:
    return {"range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}, **ends}, "text": "y = "}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"version": 2, "changes": [{"range": None, "text": "y = "}]}, "y = "),
        ({"version": 2, "changes": [{"range": None, "rangeLength": None, "text": "y = "}]}, "y = "),
        ({"version": 2, "changes": [{"rangeLength": 3, "text": "y = "}]}, "y = "),
        ({"changes": [{"text": "y = "}]}, "y = "),
        ({"version": None, "changes": [{"range": None, "text": "y = "}]}, "y = "),
        ({"version": None, "changes": [whole_range(end={"line": 1, "character": 9})]}, "y = "),
        ({"version": 2, "changes": [whole_range(end={"line": 99, "character": 0})]}, "y = "),
        ({"version": 2, "changes": [whole_range(end={"line": 1, "character": 2**53})]}, "y = "),
        ({"version": 2, "changes": [whole_range(end={"line": 2**31, "character": 2**31})]}, "y = "),
        ({"version": 2, "changes": [whole_range(start=BEHIND_THE_END, end=BEHIND_THE_END)]}, "one\ntwoy = "),
    ],
)
@async_test
async def test_unusual_change_is_applied_as_lsp_specifies(fields: dict[str, Any], text: str) -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "one\ntwo")
        document = {"uri": URI} | ({"version": fields["version"]} if "version" in fields else {})
        client.notify("textDocument/didChange", {"textDocument": document, "contentChanges": fields["changes"]})
        assert (await client.request("starcoder/text", {"uri": URI}))["text"] == text
        client.change(URI, 3, edit((0, 0), (0, 0), "# "))
        assert (await client.request("starcoder/text", {"uri": URI}))["text"] == "# " + text


@async_test
async def test_whole_text_without_version_opens_an_unopened_document() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.notify("textDocument/didChange", {"textDocument": {"uri": URI}, "contentChanges": [{"text": "x = "}]})
        client.change(URI, 1, edit((0, 4), (0, 4), "1"))
        assert (await client.request("starcoder/text", {"uri": URI}))["text"] == "x = 1"


@pytest.mark.parametrize(
    "change",
    [
        whole_range(start={"line": -1, "character": 0}),
        {"range": {}, "text": "y"},
        {"range": [], "text": "y"},
        {"range": None},
        {"range": None, "text": None},
        None,
        "y",
    ],
)
@async_test
async def test_change_without_a_readable_meaning_is_out_of_sync(change: Any) -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open(URI, "one")
        client.notify("textDocument/didChange", {"textDocument": {"uri": URI}, "contentChanges": [change]})
        assert await client.request("starcoder/text", {"uri": URI}) is None


@async_test
async def test_keys_typed_into_a_line_of_a_megabyte_keep_no_copies_of_it() -> None:
    uri, column = "file:///project/app.js", 500_000
    async with initialized_client(ScriptedEngine()) as client:
        client.open(uri, "function f(a,b){return a.map(x=>x+b)};var t='q';" * 21_000, language="javascript")

        async def type_keys(count: int) -> None:
            nonlocal column
            for _ in range(count):
                client.change(uri, column, edit((0, column), (0, column), "k"))
                column += 1
                await client.inline_completion(uri, 0, column)

        await type_keys(5)
        tracemalloc.start()
        try:
            await type_keys(30)
            assert tracemalloc.get_traced_memory()[0] < 12_000_000, "a line is kept for each key"
        finally:
            tracemalloc.stop()
