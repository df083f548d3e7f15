from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, FakeClock, ManualEngine, ScriptedEngine
from harness import (
    INLINE_COMPLETION,
    URI,
    async_test,
    connect_client,
    initialized_client,
    notifications_of,
    wait_until,
    wait_until_ready,
)
from starcoder_ls.app import Server
from starcoder_ls.errors import AdapterInvalid, EngineClosed, EngineNotReady, StarcoderError
from starcoder_ls.generation import AdapterStatus, Capabilities
from starcoder_ls.learning.finetuning.versions import AdapterVersions
from starcoder_ls.lsp.client import Client
from starcoder_ls.session.adapter_sync import AdapterSync
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.engine_state import EngineState
from starcoder_ls.session.engine_supervisor import RETRY_DELAY_S, EngineSupervisor
from starcoder_ls.settings import Adapter
from stepped_engine import settle


def adapter_names(engine: ScriptedEngine) -> list[str]:
    return [adapter.name for adapter in engine.status().adapters]


def explain_options(path: str, **others: Any) -> dict[str, Any]:
    return {"adapters": {"explain": {"path": path, **others}}}


class SelectiveEngine(ScriptedEngine):
    """Rejects the path "/bad"."""

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if adapter.path == "/bad":
            raise AdapterInvalid("/bad has no adapter_config.json. Correct its `path`.")
        return await super().attach(name, adapter)


@async_test
async def test_second_clients_adapter_is_attached_when_the_engine_is_ready() -> None:
    engine = ScriptedEngine(load_s=0.1)
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as first, connect_client(server) as second:
        await first.initialize({}, {})
        await second.initialize(explain_options("/more"), {})
        await wait_until(lambda: adapter_names(engine) == ["explain"])
        assert not notifications_of(first, "window/showMessage")
        assert not notifications_of(second, "window/showMessage")
    await asyncio.to_thread(server.close)


@async_test
async def test_name_with_another_source_warns_once_and_keeps_the_first() -> None:
    engine = ScriptedEngine()
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as first, connect_client(server) as second:
        await first.initialize(explain_options("/one"), {})
        await wait_until(lambda: adapter_names(engine) == ["explain"])
        await second.initialize(explain_options("/two"), {})
        await wait_until(lambda: bool(notifications_of(second, "window/showMessage")))
        second.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": explain_options("/two")}})
        await second.request("starcoder/status")
        (message,) = notifications_of(second, "window/showMessage")
        assert "The adapter explain is /one in this server, not /two." in message["message"]
        assert engine.status().adapters[0].source == "/one"
    await asyncio.to_thread(server.close)


@async_test
async def test_invalid_adapter_warns_once_and_others_are_attached() -> None:
    engine = SelectiveEngine()
    options = {"adapters": {"bad": {"path": "/bad"}, "good": {"path": "/good"}}}
    async with initialized_client(engine, options=options) as client:
        await wait_until(
            lambda: adapter_names(engine) == ["good"] and bool(notifications_of(client, "window/showMessage"))
        )
        client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": options}})
        await client.request("starcoder/status")
        (message,) = notifications_of(client, "window/showMessage")
        assert "The adapter bad was not loaded. /bad has no adapter_config.json." in message["message"]


@async_test
async def test_adapter_of_changed_settings_is_attached_and_used() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        assert await requested_adapter(client, engine) is None
        options = explain_options("/more", tasks=["completion"], languages=["python"])
        client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": options}})
        await wait_until(lambda: adapter_names(engine) == ["explain"])
        assert await requested_adapter(client, engine) == "explain"
        status = await client.request("starcoder/status")
        assert status["adapters"] == [{"name": "explain", "method": "LORA", "source": "/more", "memoryBytes": 0}]


async def requested_adapter(client: Client, engine: ScriptedEngine) -> str | None:
    await client.inline_completion(URI, 0, 4)
    return engine.requests[-1].adapter


class LinkReadingEngine(ScriptedEngine):
    """Reports the folder that a link pointed to, as a real engine does; ``attached`` has all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.attached: list[str] = []

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        folder = await asyncio.to_thread(os.path.realpath, adapter.path)
        status = replace(await super().attach(name, adapter), folder=folder)
        self._status = replace(self._status, adapters=(status,))
        self.attached.append(Path(folder).name)
        return status


NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterVersions:
    """Two versions of ``own``."""
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(tmp_path / "settings.toml"))
    versions = AdapterVersions("own")
    for _ in range(2):
        with versions.new_version(NOW) as folder:
            (folder / "training.json").write_text("{}")
    return versions


def table_of(versions: AdapterVersions) -> str:
    return f'[adapters.own]\npath = "{versions.current_link}"\ntasks = ["completion"]\n'


@async_test
async def test_promotion_and_rollback_reach_a_running_server(versions: AdapterVersions, tmp_path: Path) -> None:
    first, second = versions.all_versions()
    engine = LinkReadingEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        assert await requested_adapter(client, engine) is None
        versions.promote(first, NOW)
        (tmp_path / "settings.toml").write_text(table_of(versions))
        await request_until(client, engine, lambda: engine.attached == [first.name])
        assert await requested_adapter(client, engine) == "own"
        versions.promote(second, NOW)
        await request_until(client, engine, lambda: engine.attached == [first.name, second.name])
        versions.roll_back(NOW)
        await request_until(client, engine, lambda: engine.attached == [first.name, second.name, first.name])
        (tmp_path / "settings.toml").unlink()
        versions.roll_back(NOW)
        await request_until(client, engine, lambda: not engine.status().adapters)
        assert not notifications_of(client, "window/showMessage")


@async_test
async def test_first_promotion_reaches_a_server_with_its_own_settings_file(
    versions: AdapterVersions, tmp_path: Path
) -> None:
    file, engine = tmp_path / "project.toml", LinkReadingEngine()
    server = Server(lambda _: engine, SCRIPTED_SETTINGS, settings_file=file)
    async with connect_client(server) as client:
        await client.initialize({}, INLINE_COMPLETION)
        await wait_until_ready(client)
        client.open(URI, "x = ")
        assert await requested_adapter(client, engine) is None
        versions.promote(versions.all_versions()[0], NOW)
        file.write_text(table_of(versions))
        await request_until(client, engine, lambda: engine.attached == [versions.all_versions()[0].name])
        assert await requested_adapter(client, engine) == "own"
    await asyncio.to_thread(server.close)


class SlowlyLoadingEngine(LinkReadingEngine):
    """Lists the adapter ``own`` of ``folder`` while it loads, until ``may_load`` is set."""

    def __init__(self, link: Path, folder: Path) -> None:
        super().__init__()
        self.may_load = threading.Event()
        self._status = replace(self._status, adapters=(AdapterStatus("own", "LORA", str(link), folder=str(folder)),))

    def _run(self) -> None:
        self.may_load.wait()
        super()._run()


@async_test
async def test_version_promoted_while_the_engine_loads_is_used_when_it_is_ready(versions: AdapterVersions) -> None:
    first, second = versions.all_versions()
    versions.promote(first, NOW)
    engine = SlowlyLoadingEngine(versions.current_link, first.folder)
    adapters = {"own": {"path": str(versions.current_link), "tasks": ["completion"]}}
    async with initialized_client(engine, options={"adapters": adapters}, is_ready=False) as client:
        client.open(URI, "x = ")
        versions.promote(second, NOW)
        await client.inline_completion(URI, 0, 4)
        assert not engine.attached
        engine.may_load.set()
        await wait_until(lambda: engine.attached == [second.name])
        assert not notifications_of(client, "window/showMessage")


class FailingEngine(LinkReadingEngine):
    """Raises each of ``errors`` once instead of attaching an adapter."""

    def __init__(self, errors: list[StarcoderError]) -> None:
        super().__init__()
        self.errors = errors

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if self.attached and self.errors:
            raise self.errors.pop()
        return await super().attach(name, adapter)


@pytest.mark.parametrize("error", [EngineNotReady("It loads."), EngineClosed("It was closed.")])
@async_test
async def test_version_that_the_engine_could_not_try_is_tried_again(
    versions: AdapterVersions, error: StarcoderError
) -> None:
    first, second = versions.all_versions()
    versions.promote(first, NOW)
    engine = FailingEngine([error])
    adapters = {"own": {"path": str(versions.current_link), "tasks": ["completion"]}}
    async with initialized_client(engine, options={"adapters": adapters}) as client:
        client.open(URI, "x = ")
        await wait_until(lambda: engine.attached == [first.name])
        versions.promote(second, NOW)
        await request_until(client, engine, lambda: engine.attached == [first.name, second.name])
        assert not engine.errors
        assert not notifications_of(client, "window/showMessage")


class EndingEngine(ManualEngine):
    """Its first instance fails while it attaches the adapter ``failing``, and says so with ``error``; None: after it
    has attached it."""

    def __init__(self, failing: str, error: StarcoderError | None) -> None:
        super().__init__()
        self.failing, self.error = failing, error

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if name != self.failing:
            return await super().attach(name, adapter)
        self.fail()
        if self.error is not None:
            raise self.error
        return AdapterStatus(name)


@pytest.mark.parametrize("error", [EngineNotReady("It ended."), EngineClosed("It was closed."), None])
@async_test
async def test_adapters_that_an_ending_engine_lacked_are_attached_to_the_next(error: StarcoderError | None) -> None:
    clock, engines = FakeClock(), [EndingEngine("one", error), EndingEngine("", None)]
    made = iter(engines)
    supervisor = EngineSupervisor(lambda _: next(made), clock=clock)
    adapters = {name: Adapter(path=f"/{name}") for name in ("one", "two")}
    settings = SCRIPTED_SETTINGS.model_copy(update={"adapters": adapters})
    warnings: list[str] = []
    supervisor.start(SCRIPTED_SETTINGS)
    engines[0].become_ready()
    sync = AdapterSync(supervisor, ClientSettings(settings, warnings.append), warnings.append)
    sync.sync()
    await settle()
    assert supervisor.state is EngineState.REBUILDING
    clock.advance(RETRY_DELAY_S)
    engines[1].become_ready()
    await settle()
    assert adapter_names(engines[1]) == ["one", "two"]
    assert not warnings
    sync.stop()


async def request_until(client: Client, engine: ScriptedEngine, condition: Callable[[], bool]) -> None:
    """Request completions, as a user who types does, until ``condition`` holds."""
    for _ in range(1000):
        await requested_adapter(client, engine)
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


class ForgetfulEngine(ScriptedEngine):
    """Reports that an adapter was attached and does not list it."""

    attachments = 0

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        self.attachments += 1
        assert self.attachments < 10, "it is attached again and again"
        return AdapterStatus(name, "LORA", adapter.source)


@async_test
async def test_adapter_that_the_engine_does_not_list_is_attached_once() -> None:
    engine = ForgetfulEngine()
    async with initialized_client(engine, options=explain_options("/more")) as client:
        await wait_until(lambda: engine.attachments > 0)
        for _ in range(3):
            await client.request("starcoder/status")
        attachments = engine.attachments
        assert attachments <= 2, "once, and once more if the engine reports only then that it is ready"
        client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": explain_options("/more")}})
        await client.request("starcoder/status")
        await wait_until(lambda: engine.attachments > attachments)


@async_test
async def test_no_adapter_is_attached_to_an_engine_that_cannot_do_so() -> None:
    class FixedEngine(ScriptedEngine):
        async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
            raise AssertionError(name, adapter)

    engine = FixedEngine()
    engine.set_status(capabilities=Capabilities(attach=False))
    async with initialized_client(engine, options=explain_options("/one")) as client:
        await client.request("starcoder/status")
        client.open(URI, "x = ")
        await client.inline_completion(URI, 0, 4)
        assert not notifications_of(client, "window/showMessage")
