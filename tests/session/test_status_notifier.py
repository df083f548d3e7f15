from __future__ import annotations

import asyncio
from itertools import pairwise
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
    wait_until,
    wait_until_ready,
)
from starcoder_ls.app import Server
from starcoder_ls.errors import ModelNotFound

STATUS: dict[str, Any] = {**INLINE_COMPLETION, "experimental": {"starcoderStatus": True}}
PROGRESS: dict[str, Any] = {**INLINE_COMPLETION, "window": {"workDoneProgress": True}}


def phases(client: Any) -> list[str]:
    return [params["phase"] for params in notifications_of(client, "starcoder/status")]


@async_test
async def test_status_is_sent_once_per_change_and_at_limited_rate() -> None:
    async with initialized_client(ScriptedEngine(load_s=0.3, load_steps=100), capabilities=STATUS) as client:
        await wait_until(lambda: "ready" in phases(client))
        sent = notifications_of(client, "starcoder/status")
        assert phases(client) == ["loading"] * (len(sent) - 1) + ["ready"]
        assert 2 <= len(sent) <= 7  # 0.3 s of progress in a hundred steps, at most one message per 0.1 s
        assert all(before != after for before, after in pairwise(sent))
        assert sent[-1] == {
            "adapters": [],
            "phase": "ready",
            "message": "",
            "model": "scripted",
            "device": "cpu",
            "progress": 1.0,
            "memoryBytes": 0,
            "sharing": sent[-1]["sharing"],
        }


@async_test
async def test_working_is_sent_if_it_lasts_and_not_for_every_key_stroke() -> None:
    async with initialized_client(ScriptedEngine(token_s=0.001), capabilities=STATUS) as client:
        client.open(URI, "x = ")
        await wait_until(lambda: phases(client)[-1:] == ["ready"])
        before = len(phases(client))
        for _ in range(10):
            await client.inline_completion(URI, 0, 4)
        await asyncio.sleep(0.25)
        assert len(phases(client)) - before <= 4
        assert phases(client)[-1] == "ready"
    async with initialized_client(
        ScriptedEngine([[f"word{i} " for i in range(40)]], token_s=0.01), capabilities=STATUS
    ) as client:
        client.open(URI, "x = ")
        await client.inline_completion(URI, 0, 4)
        await wait_until(lambda: phases(client)[-2:] == ["working", "ready"])


@async_test
async def test_client_without_status_capability_gets_no_status() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        await asyncio.sleep(0.2)
        assert not client.notifications


@pytest.mark.parametrize("capabilities", [INLINE_COMPLETION, STATUS, PROGRESS])
@async_test
async def test_failed_load_shows_one_message_and_the_server_stays(capabilities: dict[str, Any]) -> None:
    engine = ScriptedEngine(load_s=0.1, failure="There is no model x. Name another.")
    async with initialized_client(engine, capabilities=capabilities, is_ready=False) as client:
        await wait_until(lambda: bool(notifications_of(client, "window/showMessage")))
        await asyncio.sleep(0.2)
        (message,) = notifications_of(client, "window/showMessage")
        assert message == {"type": 1, "message": "StarCoder: There is no model x. Name another."}
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4, is_invoked=True) is None
        assert (await client.request("starcoder/status"))["phase"] == "failed"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModelNotFound("There is no model x. Name another."), "There is no model x. Name another."),
        (ImportError("no torch at /some/path"), "ImportError"),
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
        (shown,) = notifications_of(client, "window/showMessage")
        assert message in shown["message"]
        assert "/some/path" not in shown["message"]
    server.close()


@async_test
async def test_loading_is_shown_as_work_done_progress() -> None:
    requests: list[tuple[str, Any]] = []
    server = Server(lambda _: ScriptedEngine(load_s=0.4), SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        client.on_request = lambda method, params: requests.append((method, params))
        await client.initialize({}, PROGRESS)
        await wait_until(
            lambda: "end" in [report["value"]["kind"] for report in notifications_of(client, "$/progress")]
        )
        ((method, params),) = requests
        assert method == "window/workDoneProgress/create"
        shown = notifications_of(client, "$/progress")
        assert {report["token"] for report in shown} == {params["token"]}
        kinds = [report["value"]["kind"] for report in shown]
        assert kinds[0] == "begin"
        assert set(kinds[1:-1]) == {"report"}
        percentages = [report["value"]["percentage"] for report in shown[:-1]]
        assert percentages == sorted(percentages)
    await asyncio.to_thread(server.close)


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
