"""Which replicas are used after failures; nothing is connected to."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from starcoder_ls.gateway.replicas import Replica, Replicas

URLS = [f"http://replica-{number}" for number in range(3)]


def make_replicas() -> tuple[Replicas, list[Replica]]:
    replicas = Replicas(URLS, "", 1.25, 10.0)
    return replicas, list(replicas)


def candidates(replicas: Replicas) -> set[str]:
    return {replica.url for replica in replicas.candidates("document")}


@pytest.mark.parametrize("error", [TimeoutError(), httpx2.ConnectTimeout("late"), httpx2.ConnectError("refused")])
def test_replica_that_failed_is_not_used_while_others_work(error: Exception) -> None:
    replicas, (first, *others) = make_replicas()
    first.mark_failed(error)
    assert candidates(replicas) == {replica.url for replica in others}
    first.mark(True)
    assert candidates(replicas) == set(URLS)


def test_replicas_that_are_all_late_are_used_but_not_one_that_refuses() -> None:
    """On a busy machine the gateway itself is late, and then all replicas seem to be."""
    replicas, (first, second, third) = make_replicas()
    for replica in (first, second):
        replica.mark_failed(TimeoutError())
    third.mark_failed(httpx2.ConnectError("refused"))
    assert candidates(replicas) == {first.url, second.url}
    second.mark(False, "its health is 500")
    assert candidates(replicas) == {first.url}
    first.mark_failed(httpx2.ConnectError("refused"))
    assert candidates(replicas) == set()


def test_health_of_the_others_is_checked_when_one_check_raises() -> None:
    replicas, (first, *others) = make_replicas()
    checks: list[str] = []
    have_all_been_checked = asyncio.Event()

    def answer(request: httpx2.Request) -> httpx2.Response:
        checks.append(request.url.host)
        if len(checks) == 2 * len(URLS):
            have_all_been_checked.set()
        if request.url.host == "replica-0":
            raise OverflowError("port must be 0-65535")
        return httpx2.Response(200)

    async def check_twice() -> None:
        for replica in replicas:
            replica.client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url=replica.url)
        checking = asyncio.create_task(replicas.check_health(0.01))
        await have_all_been_checked.wait()
        checking.cancel()

    asyncio.run(check_twice())
    assert not first.is_healthy
    assert all(replica.is_healthy for replica in others)


def test_answers_are_not_compressed() -> None:
    assert all(replica.client.headers["accept-encoding"] == "identity" for replica in make_replicas()[0])
