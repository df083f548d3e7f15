from __future__ import annotations

import asyncio

from harness import async_test
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.latest_request import LatestRequest

A, B = "file:///a.py", "file:///b.py"


class Requests:
    """Creates request handles and collects their responses as (id, result or error code)."""

    def __init__(self) -> None:
        self.responses: list[tuple[object, object]] = []
        self._count = 0

    def create(self) -> RequestHandle:
        self._count += 1
        return RequestHandle(self._count, self._collect)

    def _collect(self, message: dict[str, object]) -> None:
        error = message.get("error")
        self.responses.append((message["id"], error["code"] if isinstance(error, dict) else message["result"]))


def test_newer_request_of_the_same_kind_and_document_cancels_the_older() -> None:
    latest, requests = LatestRequest(), Requests()
    first, second, third = requests.create(), requests.create(), requests.create()
    latest.supersede("kind", A, first)
    latest.supersede("kind", B, second)
    latest.supersede("other", A, third)
    assert requests.responses == []
    latest.supersede("kind", A, requests.create())
    assert requests.responses == [(1, None)]
    assert first.cancel.is_set()
    assert not second.cancel.is_set()


def test_superseded_error_is_the_response_of_a_cancelled_request() -> None:
    latest, requests = LatestRequest(), Requests()
    request = requests.create()
    request.superseded_error = ResponseError(-32801, "The document was changed.")
    latest.supersede("kind", A, request)
    latest.cancel_document(A)
    assert requests.responses == [(1, -32801)]


def test_change_of_a_document_cancels_its_requests_of_all_kinds() -> None:
    latest, requests = LatestRequest(), Requests()
    for kind, uri in (("kind", A), ("other", A), ("kind", B)):
        latest.supersede(kind, uri, requests.create())
    latest.cancel_document(A)
    assert requests.responses == [(1, None), (2, None)]


def test_concluded_request_is_not_cancelled_by_a_change() -> None:
    latest, requests = LatestRequest(), Requests()
    first, second = requests.create(), requests.create()
    latest.supersede("kind", A, first)
    latest.supersede("kind", A, second)
    latest.conclude("kind", A, first)
    latest.cancel_document(A)
    assert second.cancel.is_set()
    third = requests.create()
    latest.supersede("kind", A, third)
    latest.conclude("kind", A, third)
    latest.cancel_document(A)
    assert not third.cancel.is_set()


@async_test
async def test_is_latest_is_false_if_a_newer_request_has_already_arrived() -> None:
    latest, requests = LatestRequest(), Requests()
    older, newer = requests.create(), requests.create()
    results = await asyncio.gather(latest.is_latest("kind", A, older), latest.is_latest("kind", A, newer))
    assert results == [False, True]


@async_test
async def test_request_that_has_ended_is_not_kept() -> None:
    latest, request = LatestRequest(), Requests().create()

    async def answer() -> bool:
        return await latest.is_latest("kind", A, request)

    request.task = asyncio.create_task(answer())  # type: ignore[assignment]
    assert await request.task
    await asyncio.sleep(0)
    assert not latest._latest
