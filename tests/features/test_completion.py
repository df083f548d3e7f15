from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client
from starcoder_ls.lsp.client import Client, PendingRequest

MENU: dict[str, Any] = {"textDocument": {"completion": {}}}


def request(client: Client, line: int, character: int) -> PendingRequest:
    params = {
        "textDocument": {"uri": URI},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1},
    }
    return client.request("textDocument/completion", params)


@async_test
async def test_entry_replaces_the_word_at_the_cursor() -> None:
    async with initialized_client(ScriptedEngine([["nd(1)\n"]]), capabilities=MENU) as client:
        assert "completionProvider" in client.capabilities
        assert "inlineCompletionProvider" not in client.capabilities
        client.open(URI, "é = x.appe")
        found = await request(client, 0, 10)
        assert found["isIncomplete"] is True
        (item,) = found["items"]
        assert item["textEdit"] == {
            "range": {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 10}},
            "newText": "append(1)",
        }
        assert item["filterText"] == item["label"] == "append(1)"
        assert item["preselect"] is True
        assert item["insertTextFormat"] == 1


@async_test
async def test_long_suggestion_has_its_first_line_as_label() -> None:
    text = "first(\n" + "    argument,\n" * 3 + ")\n"
    async with initialized_client(ScriptedEngine([[text]]), capabilities=MENU) as client:
        client.open(URI, "x = ")
        (item,) = (await request(client, 0, 4))["items"]
        assert item["label"] == "first( …"
        assert item["documentation"] == item["textEdit"]["newText"] == text.rstrip()
        assert item["filterText"] == "first("


@async_test
async def test_answer_is_empty_without_suggestions() -> None:
    async with initialized_client(ScriptedEngine([[" "]]), capabilities=MENU) as client:
        client.open(URI, "x = ")
        assert (await request(client, 0, 4))["items"] == []


@pytest.mark.parametrize("error", [RuntimeError("x"), MemoryError()])
@async_test
async def test_failure_is_silent(error: Exception) -> None:
    async with initialized_client(ScriptedEngine(error=error), capabilities=MENU) as client:
        client.open(URI, "x = ")
        assert await request(client, 0, 4) is None


@async_test
async def test_word_on_a_long_line_is_searched_near_the_cursor() -> None:
    line = "a" * 200_000 + " wo"  # quadratic work would take minutes
    async with initialized_client(ScriptedEngine([["rd"]]), capabilities=MENU) as client:
        client.open(URI, line)
        (item,) = (await request(client, 0, len(line)))["items"]
        assert item["filterText"].startswith("wo")
