from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, notifications_of
from starcoder_ls.lsp.client import Client


async def requested_max_new_tokens(client: Client, engine: ScriptedEngine) -> int:
    await client.inline_completion(URI, 0, 4)
    return engine.requests[-1].max_new_tokens


def configure(client: Client, settings: Any) -> None:
    client.notify("workspace/didChangeConfiguration", {"settings": settings})


@pytest.mark.parametrize("wrapper", [None, "starcoder", "starcoder_ls", "starcoder-ls"])
@async_test
async def test_new_settings_are_used_from_the_next_request_on(wrapper: str | None) -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        tree = {"inline_completion": {"max_new_tokens": 5}}
        configure(client, tree if wrapper is None else {wrapper: tree})
        assert await requested_max_new_tokens(client, engine) == 5
        assert not client.notifications


@pytest.mark.parametrize("settings", [None, [], "x", {}, {"python": {"linting": True}}, {"starcoder": None}])
@async_test
async def test_settings_of_other_servers_are_ignored_silently(settings: Any) -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        configure(client, settings)
        assert await requested_max_new_tokens(client, engine) == 64
        assert not client.notifications


@async_test
async def test_invalid_settings_are_reported_and_the_old_ones_stay() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine, options={"inline_completion": {"max_new_tokens": 9}}) as client:
        client.open(URI, "x = ")
        configure(client, {"starcoder": {"inline_completion": {"max_new_tokens": "many"}}})
        assert await requested_max_new_tokens(client, engine) == 9
        (message,) = notifications_of(client, "window/showMessage")
        assert "max_new_tokens" in message["message"]


@async_test
async def test_changed_model_setting_warns_that_a_restart_is_needed() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        configure(client, {"model": {"name": "another"}, "inline_completion": {"max_new_tokens": 5}})
        assert await requested_max_new_tokens(client, engine) == 5
        (message,) = notifications_of(client, "window/showMessage")
        assert message["type"] == 2
        assert "restart" in message["message"]
