from __future__ import annotations

from typing import Any

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
