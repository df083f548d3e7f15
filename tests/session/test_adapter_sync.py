from __future__ import annotations

import asyncio
from typing import Any

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import URI, async_test, connect_client, initialized_client, notifications_of, wait_until
from starcoder_ls.app import Server
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import AdapterStatus
from starcoder_ls.lsp.client import Client
from starcoder_ls.settings import Adapter


def names(engine: ScriptedEngine) -> list[str]:
    return [held.name for held in engine.status().adapters]


def explain(path: str, **others: Any) -> dict[str, Any]:
    return {"adapters": {"explain": {"path": path, **others}}}


class Picky(ScriptedEngine):
    """Refuses one path."""

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if adapter.path == "/bad":
            raise AdapterInvalid("/bad has no adapter_config.json. Correct its `path`.")
        return await super().attach(name, adapter)


@async_test
async def test_a_second_clients_adapter_is_attached_once_the_model_is_ready() -> None:
    engine = ScriptedEngine(load_s=0.1)
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as first, connect_client(server) as second:
        await first.initialize({}, {})
        await second.initialize(explain("/more"), {})
        await wait_until(lambda: names(engine) == ["explain"])
        assert not notifications_of(first, "window/showMessage")
        assert not notifications_of(second, "window/showMessage")
    await asyncio.to_thread(server.close)


@async_test
async def test_the_same_name_for_another_source_is_said_once_and_the_first_stays() -> None:
    engine = ScriptedEngine()
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as first, connect_client(server) as second:
        await first.initialize(explain("/one"), {})
        await wait_until(lambda: names(engine) == ["explain"])
        await second.initialize(explain("/two"), {})
        await wait_until(lambda: bool(notifications_of(second, "window/showMessage")))
        second.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": explain("/two")}})
        await second.request("starcoder/status")
        (message,) = notifications_of(second, "window/showMessage")
        assert "The adapter explain is /one in this server, not /two." in message["message"]
        assert engine.status().adapters[0].source == "/one"
    await asyncio.to_thread(server.close)


@async_test
async def test_an_adapter_that_is_refused_is_told_once_and_the_others_come() -> None:
    engine = Picky()
    options = {"adapters": {"bad": {"path": "/bad"}, "good": {"path": "/good"}}}
    async with initialized_client(engine, options=options) as client:
        await wait_until(lambda: names(engine) == ["good"] and bool(notifications_of(client, "window/showMessage")))
        client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": options}})
        await client.request("starcoder/status")
        (message,) = notifications_of(client, "window/showMessage")
        assert "The adapter bad was not loaded. /bad has no adapter_config.json." in message["message"]


@async_test
async def test_an_adapter_of_new_settings_is_attached_and_completes() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        assert await asked_adapter(client, engine) is None
        options = explain("/more", tasks=["completion"], languages=["python"])
        client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": options}})
        await wait_until(lambda: names(engine) == ["explain"])
        assert await asked_adapter(client, engine) == "explain"
        status = await client.request("starcoder/status")
        assert status["adapters"] == [{"name": "explain", "method": "LORA", "source": "/more", "memoryBytes": 0}]


async def asked_adapter(client: Client, engine: ScriptedEngine) -> str | None:
    await client.inline_completion(URI, 0, 4)
    return engine.requests[-1].adapter
