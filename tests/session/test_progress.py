from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from harness import async_test, wait_until
from starcoder_ls.lsp.client_info import ClientInfo
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.background_tasks import BackgroundTasks
from starcoder_ls.session.progress import WorkDoneProgress

CREATE = "window/workDoneProgress/create"


class Fixture:
    """The progress of a client that supports it, and the messages that the client gets."""

    def __init__(self, delay_s: float = 0.0, has_progress: bool = True) -> None:
        self.client = LanguageClient()
        self.client.info = ClientInfo(has_progress=has_progress)
        self.sent: list[dict[str, Any]] = []
        self.client.protocol.write = lambda body: self.sent.append(json.loads(body))
        self.tasks = BackgroundTasks()
        self.progress = WorkDoneProgress(self.client, self.tasks, delay_s)
        self.request = RequestHandle(1, lambda _: None)

    def respond_to_create(self, **response: Any) -> None:
        create = self.sent[0]
        assert create["method"] == CREATE
        self.client.protocol.resolve_request(create["id"], {"id": create["id"], **response})

    def kinds(self) -> list[str]:
        return [message["params"]["value"]["kind"] for message in self.sent if message["method"] == "$/progress"]


@async_test
async def test_progress_begins_after_the_client_created_it_and_ends() -> None:
    fixture = Fixture()
    async with fixture.progress.report("Simplify", fixture.request):
        await wait_until(lambda: bool(fixture.sent))
        assert fixture.kinds() == []
        fixture.respond_to_create(result=None)
        await wait_until(lambda: fixture.kinds() == ["begin"])
        begin = fixture.sent[-1]["params"]
        assert (begin["value"]["title"], begin["value"]["cancellable"]) == ("StarCoder: Simplify", True)
        assert begin["token"] == fixture.sent[0]["params"]["token"]
    await wait_until(lambda: fixture.kinds() == ["begin", "end"])


@pytest.mark.parametrize("response", [None, {"error": {"code": 1, "message": "no"}}], ids=["no response", "error"])
@async_test
async def test_progress_that_the_client_did_not_create_is_not_shown(response: dict[str, Any] | None) -> None:
    fixture = Fixture()
    async with fixture.progress.report("Simplify", fixture.request):
        await wait_until(lambda: bool(fixture.sent))
        if response is not None:
            fixture.respond_to_create(**response)
    fixture.tasks.cancel_all()
    await asyncio.sleep(0)
    assert fixture.kinds() == []


@pytest.mark.parametrize(("delay_s", "has_progress"), [(3600.0, True), (0.0, False)], ids=["fast", "no capability"])
@async_test
async def test_fast_request_or_client_without_progress_shows_none(delay_s: float, has_progress: bool) -> None:
    fixture = Fixture(delay_s, has_progress)
    async with fixture.progress.report("Simplify", fixture.request):
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert fixture.sent == []


@async_test
async def test_cancel_cancels_only_the_request_of_the_token() -> None:
    fixture = Fixture()
    async with fixture.progress.report("Simplify", fixture.request):
        await wait_until(lambda: bool(fixture.sent))
        token = fixture.sent[0]["params"]["token"]
        fixture.progress.cancel("another token")
        assert not fixture.request.cancel.is_set()
        fixture.progress.cancel(token)
        assert fixture.request.cancel.is_set()
    fixture.progress.cancel(token)
    fixture.tasks.cancel_all()
