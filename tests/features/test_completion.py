from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until
from starcoder_ls.lsp.client import Client, PendingRequest

MENU: dict[str, Any] = {"textDocument": {"completion": {}}}


def ask(client: Client, line: int, character: int) -> PendingRequest:
    params = {
        "textDocument": {"uri": URI},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1},
    }
    return client.request("textDocument/completion", params)


@async_test
async def test_an_editor_without_ghost_text_gets_one_entry_that_what_is_typed_begins() -> None:
    async with initialized_client(ScriptedEngine([["nd(1)\n"]]), capabilities=MENU) as client:
        assert "completionProvider" in client.capabilities
        assert "inlineCompletionProvider" not in client.capabilities
        client.open(URI, "é = x.appe")
        found = await ask(client, 0, 10)
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
async def test_a_long_suggestion_has_its_first_line_as_label_and_is_shown_whole_beside() -> None:
    text = "first(\n" + "    argument,\n" * 3 + ")\n"
    async with initialized_client(ScriptedEngine([[text]]), capabilities=MENU) as client:
        client.open(URI, "x = ")
        (item,) = (await ask(client, 0, 4))["items"]
        assert item["label"] == "first( …"
        assert item["documentation"] == item["textEdit"]["newText"] == text.rstrip()
        assert item["filterText"] == "first("


@async_test
async def test_nothing_to_say_is_an_empty_list_and_loading_is_null() -> None:
    async with initialized_client(ScriptedEngine([[" "]]), capabilities=MENU) as client:
        client.open(URI, "x = ")
        assert (await ask(client, 0, 4))["items"] == []
    async with initialized_client(ScriptedEngine(load_s=5), capabilities=MENU, is_ready=False) as client:
        client.open(URI, "x = ")
        assert await ask(client, 0, 4) is None


@async_test
async def test_a_newer_request_ends_the_older_one_with_null() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(50)]], token_s=0.02)
    async with initialized_client(engine, capabilities=MENU) as client:
        client.open(URI, "x = ")
        older = ask(client, 0, 4)
        await wait_until(lambda: engine.steps >= 2)
        client.change(URI, 2, {"text": "x = y"})
        newer = ask(client, 0, 5)
        assert await older is None
        assert engine.requests[0].cancel.is_set()
        assert await newer


@pytest.mark.parametrize("error", [RuntimeError("x"), MemoryError()])
@async_test
async def test_a_failure_is_silent_since_menus_ask_by_themselves(error: Exception) -> None:
    async with initialized_client(ScriptedEngine(error=error), capabilities=MENU) as client:
        client.open(URI, "x = ")
        assert await ask(client, 0, 4) is None
