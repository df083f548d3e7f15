from __future__ import annotations

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client


@async_test
async def test_text_returns_the_document_after_its_changes() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open(URI, "é = 1\n")
        end = {"line": 1, "character": 0}
        client.change(URI, 7, {"range": {"start": end, "end": end}, "text": "x"})
        expected = {"uri": URI, "languageId": "python", "version": 7, "text": "é = 1\nx"}
        assert await client.request("starcoder/text", {"uri": URI}) == expected


@async_test
async def test_unknown_or_out_of_sync_document_is_null() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        assert await client.request("starcoder/text", {"uri": URI}) is None
        client.open(URI, "x")
        invalid = {"line": -1, "character": 0}
        client.change(URI, 2, {"text": "y", "range": {"start": invalid, "end": invalid}})
        assert await client.request("starcoder/text", {"uri": URI}) is None
        assert await client.request("starcoder/text") is None
