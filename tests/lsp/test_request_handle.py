from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from harness import async_test
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError


def outcome(message: dict[str, object]) -> object:
    error = message.get("error")
    return error["code"] if isinstance(error, dict) else message["result"]


@pytest.mark.parametrize(
    ("respond", "expected"),
    [
        (lambda request: request.respond({"a": 1}), {"a": 1}),
        (lambda request: request.respond_error(-32803, "No."), -32803),
        (RequestHandle.cancel_by_client, -32800),
        (RequestHandle.cancel_as_superseded, None),
    ],
)
def test_only_the_first_response_is_sent(respond: Callable[[RequestHandle], None], expected: object) -> None:
    sent: list[dict[str, object]] = []
    request = RequestHandle(7, sent.append)
    respond(request)
    request.respond("late")
    request.respond_error(-1, "late")
    request.cancel_by_client()
    request.cancel_as_superseded()
    (message,) = sent
    assert (message["jsonrpc"], message["id"], outcome(message)) == ("2.0", 7, expected)


def test_superseded_request_responds_with_its_superseded_error() -> None:
    sent: list[dict[str, object]] = []
    request = RequestHandle("a", sent.append)
    request.superseded_error = ResponseError(-32801, "The document was changed.")
    request.cancel_as_superseded()
    assert [outcome(message) for message in sent] == [-32801]


@async_test
async def test_cancellation_sets_the_flag_and_cancels_the_task() -> None:
    request = RequestHandle(1, lambda _: None)
    request.task = asyncio.create_task(asyncio.sleep(3600))
    request.cancel_by_client()
    assert request.cancel.is_set()
    with pytest.raises(asyncio.CancelledError):
        await request.task
