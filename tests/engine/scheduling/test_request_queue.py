from __future__ import annotations

import dataclasses
import threading
import time

import pytest

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.engine.scheduling.request_queue import TURN_PASSES, RequestQueue, ScheduledRequest
from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import FinishReason, Priority, Request
from starcoder_ls.output_stream import OutputStream


class NoOutput(OutputStream):
    def __init__(self) -> None:
        """The requests in these tests have no output, and no event loop."""


def schedule(
    priority: Priority = Priority.COMPLETION,
    is_prefill: bool = False,
    deadline_s: float | None = None,
    client: str = "",
) -> ScheduledRequest:
    request = Request((), 1, priority=priority, deadline_s=deadline_s, client=client, cancel=CancelFlag())
    return ScheduledRequest(request, NoOutput(), is_prefill=is_prefill)


def queue_of(*requests: ScheduledRequest) -> RequestQueue:
    queue = RequestQueue()
    for request in requests:
        queue.add(request)
    return queue


def next_requests(queue: RequestQueue, passes: int) -> list[ScheduledRequest]:
    """The requests that run the next passes."""
    taken = []
    for _ in range(passes):
        request = queue.next_request()
        assert request is not None
        taken.append(request)
    return taken


def test_order_is_by_priority_then_arrival() -> None:
    edit, explanation, prefill = schedule(Priority.NEXT_EDIT), schedule(Priority.EXPLANATION), schedule(is_prefill=True)
    first, second = schedule(), schedule()
    queue = queue_of(edit, explanation, prefill, first, second)
    taken = []
    while not queue.is_idle():
        (request,) = next_requests(queue, 1)
        taken.append(request)
        queue.remove(request)
    assert taken == [first, second, prefill, explanation, edit]


@pytest.mark.parametrize("interruption", ["flag", "abandoned", "deadline"])
def test_interrupted_request_comes_first(interruption: str) -> None:
    ended = schedule(Priority.EXPLANATION, deadline_s=time.monotonic() - 1 if interruption == "deadline" else None)
    queue = queue_of(schedule(), ended)
    if interruption == "flag":
        ended.request.cancel.set()
    elif interruption == "abandoned":
        ended.abandoned.set()
    assert queue.next_request() is ended
    reason = FinishReason.DEADLINE if interruption == "deadline" else FinishReason.CANCELLED
    assert ended.interruption() is reason


def test_request_is_not_interrupted_before_its_deadline() -> None:
    assert schedule(deadline_s=time.monotonic() + 3600).interruption() is None


def test_next_request_waits_for_one_to_arrive() -> None:
    queue, request = RequestQueue(), schedule()
    thread = threading.Thread(target=queue.add, args=(request,))
    thread.start()
    assert queue.next_request() is request
    thread.join()


def test_close_ends_the_wait_and_refuses_requests() -> None:
    queue = RequestQueue()
    thread = threading.Thread(target=queue.close)
    thread.start()
    assert queue.next_request() is None
    thread.join()
    with pytest.raises(EngineClosed, match="closed"):
        queue.add(schedule())


def test_drain_returns_the_remaining_requests_once() -> None:
    request = schedule()
    queue = queue_of(request)
    assert (queue.drain(), queue.drain()) == ([request], [])


def test_requests_are_compared_by_identity() -> None:
    request = schedule()
    assert request != dataclasses.replace(request)


def test_client_with_many_requests_does_not_delay_another() -> None:
    many = [schedule(client="many") for _ in range(10)]
    queue = queue_of(*many)
    assert next_requests(queue, 1) == [many[0]]
    queue.remove(many[0])
    queue.add(single := schedule(client="one"))
    assert next_requests(queue, 1) == [single]


def test_long_request_takes_turns_with_others() -> None:
    long, other = schedule(client="a"), schedule(client="b")
    queue = queue_of(long)
    assert next_requests(queue, 5) == [long] * 5
    queue.add(other)
    assert next_requests(queue, TURN_PASSES - 5) == [long] * (TURN_PASSES - 5)
    assert next_requests(queue, TURN_PASSES) == [other] * TURN_PASSES
    assert next_requests(queue, 1) == [long]


def test_short_request_is_not_interleaved_with_others() -> None:
    short, other = schedule(client="a"), schedule(client="b")
    queue = queue_of(short, other)
    assert next_requests(queue, 10) == [short] * 10
    queue.remove(short)
    assert next_requests(queue, 1) == [other]


def test_waiting_client_is_not_starved_by_new_requests_of_another() -> None:
    waiting = schedule(client="a")
    queue = queue_of(waiting)
    next_requests(queue, TURN_PASSES)
    passes = 0
    for _ in range(20):
        queue.add(again := schedule(client="b"))
        passes += next_requests(queue, TURN_PASSES).count(waiting)
        queue.remove(again)
    assert passes >= 9 * TURN_PASSES


def test_turn_ends_for_a_higher_priority() -> None:
    prefill, completion = schedule(is_prefill=True, client="a"), schedule(client="a")
    queue = queue_of(prefill)
    assert next_requests(queue, 1) == [prefill]
    queue.add(completion)
    assert next_requests(queue, 2) == [completion, completion]


def test_peers_are_of_one_priority_and_alternate_between_clients() -> None:
    many = [schedule(client="many") for _ in range(3)]
    others = [
        schedule(client="one"),
        schedule(Priority.EXPLANATION, client="one"),
        schedule(client="other"),
        schedule(is_prefill=True),
    ]
    cancelled = schedule(client="gone")
    cancelled.request.cancel.set()
    queue = queue_of(*many, *others, cancelled)
    assert queue.peers_of(many[0]) == [many[1], others[0], others[2], many[2]]
    assert queue.peers_of(others[3]) == []


def test_peers_of_a_client_that_have_started_come_first() -> None:
    leader, waiting, started = schedule(client="a"), schedule(client="b"), schedule(client="b")
    started.steps = (x for x in ())  # type: ignore[assignment]
    assert queue_of(leader, waiting, started).peers_of(leader) == [started, waiting]


def test_given_turn_lasts_one_pass_within_its_priority() -> None:
    leader, reader = schedule(client="a"), schedule(client="b")
    queue = queue_of(leader, reader)
    assert next_requests(queue, 3) == [leader] * 3
    queue.give_turn(reader)
    assert next_requests(queue, 2) == [reader, leader]
    queue.add(explanation := schedule(Priority.EXPLANATION, client="c"))
    queue.give_turn(explanation)
    assert explanation not in next_requests(queue, 3)


def test_stays_quiet_until_a_request_arrives_or_the_queue_closes() -> None:
    queue, request = RequestQueue(), schedule()
    assert queue.stays_quiet(0.0)
    thread = threading.Thread(target=queue.add, args=(request,))
    thread.start()
    assert not queue.stays_quiet(3600.0)
    thread.join()
    queue.remove(request)
    assert queue.stays_quiet(0.001)
    queue.close()
    assert not queue.stays_quiet(3600.0)
