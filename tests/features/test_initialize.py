from __future__ import annotations

from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import (
    INLINE_COMPLETION,
    URI,
    async_test,
    connect_client,
    initialized_client,
    notifications_of,
    wait_until_ready,
)
from starcoder_ls.app import Server
from starcoder_ls.settings import InlineCompletion, Settings


@async_test
async def test_server_capabilities_are_exactly_the_supported_features() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        assert client.capabilities == {
            "positionEncoding": "utf-16",
            "textDocumentSync": {"openClose": True, "change": 2, "save": {"includeText": False}},
            "workspace": {"workspaceFolders": {"supported": True, "changeNotifications": True}},
            "inlineCompletionProvider": {},
            "codeActionProvider": {
                "codeActionKinds": [
                    *("starcoder.explain", "starcoder.document", "quickfix", "starcoder.test"),
                    *("starcoder.simplify", "starcoder.rewrite", "starcoder.ask"),
                ],
                "resolveProvider": False,
            },
            "executeCommandProvider": {
                "commands": [
                    *("starcoder.explain", "starcoder.act", "starcoder.attachAdapter"),
                    *("starcoder.detachAdapter", "starcoder.listAdapters", "starcoder.accepted"),
                    *("starcoder.editAccepted", "starcoder.editDismissed"),
                ]
            },
            "notebookDocumentSync": {"notebookSelector": [{"notebook": "jupyter-notebook"}], "save": True},
            "experimental": {"copilotInlineEdit": True},
        }


@pytest.mark.parametrize(
    ("declared", "is_provided"),
    [
        ({"inlineCompletion": {}}, True),
        ({"inlineCompletion": None}, True),
        ({"inlineCompletion": 5}, False),
        ({}, False),
    ],
)
@async_test
async def test_client_with_inline_completion_gets_no_completion_provider(
    declared: dict[str, Any], is_provided: bool
) -> None:
    async with initialized_client(ScriptedEngine(), capabilities={"textDocument": declared}) as client:
        assert ("inlineCompletionProvider" in client.capabilities) is is_provided
        assert ("completionProvider" in client.capabilities) is not is_provided


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"inline_completion": {"max_new_tokens": 7}}, 7),
        ({"starcoder": {"inline_completion": {"max_new_tokens": 7}}}, 7),
        ({"starcoder_ls": {"inline_completion": {"max_new_tokens": 7}}}, 7),
        ({"inline_completion": {"candidates": 2}}, 33),
        ({}, 33),
        (None, 33),
        ([], 33),
        ("text", 33),
    ],
)
@async_test
async def test_initialization_options_override_the_process_settings(options: Any, expected: int) -> None:
    engine = ScriptedEngine()
    process_settings = Settings(inline_completion=InlineCompletion(max_new_tokens=33))
    async with initialized_client(engine, process_settings, options=options) as client:
        client.open(URI, "x = ")
        await client.inline_completion(URI, 0, 4)
        assert engine.requests[0].max_new_tokens == expected
        assert not notifications_of(client, "window/showMessage")


@pytest.mark.parametrize("options", [{"inline_completion": {"max_new_tokens": -1}}, {"unheard_of": 1}, {"model": 5}])
@async_test
async def test_invalid_options_are_reported_once_and_ignored(options: Any) -> None:
    async with initialized_client(ScriptedEngine(), options=options) as client:
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
        (message,) = notifications_of(client, "window/showMessage")
        assert message["type"] == 2
        assert next(iter(options)) in message["message"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"capabilities": None},
        {"capabilities": {"general": {"positionEncodings": "utf-8"}, "window": [], "textDocument": 3}},
        {"capabilities": {"textDocument": {"completion": {"completionItemKind": {"valueSet": [999]}}}}},
        {"processId": "12", "clientInfo": 5, "trace": "newer than us", "capabilities": {}},
    ],
)
@async_test
async def test_malformed_client_capabilities_do_not_fail_initialize(params: dict[str, Any]) -> None:
    server = Server(lambda _: ScriptedEngine(), SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        result = await client.request("initialize", params)
        assert result["capabilities"]["positionEncoding"] == "utf-16"
        assert result["serverInfo"]["name"] == "starcoder-ls"
        await wait_until_ready(client)
    server.close()


@async_test
async def test_first_clients_model_is_loaded_once_and_stays() -> None:
    engines: list[tuple[str, ScriptedEngine]] = []

    def create_engine(settings: Any) -> ScriptedEngine:
        engines.append((settings.model.name, ScriptedEngine()))
        return engines[-1][1]

    server = Server(create_engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as first, connect_client(server) as second, connect_client(server) as third:
        await first.initialize({"model": {"name": "a"}}, INLINE_COMPLETION)
        await wait_until_ready(first)
        await second.initialize({"model": {"name": "a"}}, INLINE_COMPLETION)
        await third.initialize({"model": {"name": "b"}}, INLINE_COMPLETION)
        await wait_until_ready(third)
        assert [name for name, _ in engines] == ["a"]
        assert engines[0][1].start_count == 1
        assert not notifications_of(second, "window/showMessage")
        (message,) = notifications_of(third, "window/showMessage")
        assert message["type"] == 2
    server.close()
