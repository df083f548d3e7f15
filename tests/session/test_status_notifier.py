from __future__ import annotations

import asyncio
import json
from itertools import pairwise
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
from starcoder_ls.errors import ModelNotFound
from starcoder_ls.generation import Phase
from starcoder_ls.lsp.client_info import ClientInfo
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.status_notifier import StatusNotifier

STATUS: dict[str, Any] = {**INLINE_COMPLETION, "experimental": {"starcoderStatus": True}}
PROGRESS: dict[str, Any] = {**INLINE_COMPLETION, "window": {"workDoneProgress": True}}


class Fixture:
    """A notifier of an engine that the test controls, and the messages that the client gets."""

    def __init__(self, has_status: bool = True, has_progress: bool = False) -> None:
        self.engine = ManualEngine()
        self.supervisor = EngineSupervisor(lambda _: self.engine, clock=FakeClock())
        self.client = LanguageClient()
        self.client.info = ClientInfo(has_status=has_status, has_progress=has_progress)
        self.sent: list[dict[str, Any]] = []
        self.client.protocol.write = lambda body: self.sent.append(json.loads(body))
        self.notifier = StatusNotifier(self.client, self.supervisor, ProcessInfo())
        self.supervisor.start(SCRIPTED_SETTINGS)
        self.notifier.start()

    def statuses(self) -> list[dict[str, Any]]:
        return [message["params"] for message in self.sent if message["method"] == "starcoder/status"]

    def phases(self) -> list[str]:
        return [status["phase"] for status in self.statuses()]

    def messages(self) -> list[str]:
        return [m["params"]["message"] for m in self.sent if m["method"] == "window/showMessage"]


@async_test
async def test_rapid_changes_are_sent_as_one_notification() -> None:
    fixture = Fixture()
    assert fixture.phases() == ["loading"]
    for step in range(1, 101):
        fixture.engine.set_status(progress=step / 100)
        await asyncio.sleep(0)
    await wait_until(lambda: fixture.statuses()[-1]["progress"] == 1.0)
    assert len(fixture.sent) <= 3  # the first, and one or two timers: the loop may be slow
    fixture.engine.become_ready()
    await wait_until(lambda: fixture.phases()[-1] == "ready")
    assert all(before != after for before, after in pairwise(fixture.statuses()))


@async_test
async def test_end_of_loading_is_sent_without_delay() -> None:
    fixture = Fixture()
    fixture.engine.become_ready()
    await asyncio.sleep(0)
    assert fixture.phases() == ["loading", "ready"]
    status = fixture.statuses()[-1]
    assert status.pop("sharing")["windows"] == 1
    assert status == {
        "adapters": [],
        "phase": "ready",
        "message": "",
        "model": "scripted",
        "device": "cpu",
        "progress": 0.0,
        "memoryBytes": 0,
    }


@async_test
async def test_working_is_sent_if_it_lasts_and_not_for_every_key_stroke() -> None:
    fixture = Fixture()
    fixture.engine.become_ready()
    for _ in range(10):
        fixture.engine.set_status(phase=Phase.WORKING)
        fixture.engine.become_ready()
        await asyncio.sleep(0)
    assert fixture.phases() == ["loading", "ready"]
    fixture.engine.set_status(phase=Phase.WORKING)
    await wait_until(lambda: fixture.phases()[-1] == "working")
    fixture.engine.become_ready()
    await wait_until(lambda: fixture.phases()[-1] == "ready")
    assert fixture.phases() == ["loading", "ready", "working", "ready"]


@async_test
async def test_client_without_status_capability_gets_no_status() -> None:
    fixture = Fixture(has_status=False)
    fixture.engine.become_ready()
    for _ in range(3):
        await asyncio.sleep(0)
    assert fixture.sent == []


@async_test
async def test_each_failure_is_shown_once() -> None:
    fixture = Fixture(has_status=False)
    for number in range(2):
        fixture.engine.fail("The device is gone.")
        await asyncio.sleep(0)
        fixture.engine.fail("The device is gone.")
        await asyncio.sleep(0)
        assert fixture.messages() == ["StarCoder: The device is gone."] * (number + 1)
        fixture.engine.become_ready()
        await asyncio.sleep(0)


@pytest.mark.parametrize("capabilities", [INLINE_COMPLETION, STATUS, PROGRESS])
@async_test
async def test_failed_load_shows_one_message_and_the_server_stays(capabilities: dict[str, Any]) -> None:
    engine = ScriptedEngine(load_s=0.1, failure="There is no model x. Name another.")
    async with initialized_client(engine, capabilities=capabilities, is_ready=False) as client:
        await wait_until(lambda: bool(notifications_of(client, "window/showMessage")))
        await client.request("starcoder/status")
        (message,) = notifications_of(client, "window/showMessage")
        assert message == {"type": 1, "message": "StarCoder: There is no model x. Name another."}
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4, is_invoked=True) is None
        assert (await client.request("starcoder/status"))["phase"] == "failed"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModelNotFound("There is no model x. Name another."), "There is no model x. Name another."),
        (RuntimeError("no file /some/path"), "RuntimeError"),
    ],
)
@async_test
async def test_engine_that_cannot_be_created_is_reported_as_failed(error: Exception, message: str) -> None:
    def create_engine(_: Any) -> ScriptedEngine:
        raise error

    server = Server(create_engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        await client.initialize({}, INLINE_COMPLETION)
        await wait_until(lambda: bool(notifications_of(client, "window/showMessage")))
        (message_params,) = notifications_of(client, "window/showMessage")
        assert message in message_params["message"]
        assert "/some/path" not in message_params["message"]
    server.close()


@async_test
async def test_loading_is_shown_as_work_done_progress() -> None:
    fixture = Fixture(has_status=False, has_progress=True)

    def reports() -> list[dict[str, Any]]:
        return [message["params"]["value"] for message in fixture.sent if message["method"] == "$/progress"]

    await wait_until(lambda: bool(fixture.sent))
    (create,) = fixture.sent
    assert create["method"] == "window/workDoneProgress/create"
    fixture.client.protocol.resolve_request(create["id"], {"id": create["id"], "result": None})
    await wait_until(lambda: len(reports()) == 1)
    for count, progress in enumerate((0.25, 0.5), start=2):
        fixture.engine.set_status(progress=progress, message=f"{progress:.0%}")
        await wait_until(lambda count=count: len(reports()) == count)  # type: ignore[misc]
    fixture.engine.become_ready()
    await wait_until(lambda: reports()[-1]["kind"] == "end")
    begin, first, second, end = reports()
    assert (begin["kind"], begin["title"], begin["percentage"]) == ("begin", "Loading scripted", 0)
    assert (first["kind"], first["message"], first["percentage"]) == ("report", "25%", 25)
    assert (second["kind"], second["message"], second["percentage"]) == ("report", "50%", 50)
    assert end["message"] == "ready"
    progress_messages = [message for message in fixture.sent if message["method"] == "$/progress"]
    assert {message["params"]["token"] for message in progress_messages} == {create["params"]["token"]}


@async_test
async def test_unanswered_progress_request_does_not_block_the_client() -> None:
    server = Server(lambda _: ScriptedEngine(load_s=0.1), SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        client._receive = _drop_requests(client._receive)  # type: ignore[method-assign]
        await client.initialize({}, PROGRESS)
        await wait_until_ready(client)
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
        assert not notifications_of(client, "$/progress")
    await asyncio.to_thread(server.close)


def _drop_requests(receive: Any) -> Any:
    return lambda message: None if "method" in message and "id" in message else receive(message)
