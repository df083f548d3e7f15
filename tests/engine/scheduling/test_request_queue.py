from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import pytest

from starcoder_ls.engine.scheduling.request_queue import TURN_PASSES, OutputStream, RequestQueue, ScheduledRequest
from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import CancelFlag, Chunk, FinishReason, Priority, Request


class NoOutlet(OutputStream):
    def __init__(self) -> None:
        """Jobs in these tests answer nobody."""


def job(
    priority: Priority = Priority.COMPLETION,
    is_prefill: bool = False,
    deadline_s: float | None = None,
    client: str = "",
) -> ScheduledRequest:
    request = Request((), 1, priority=priority, deadline_s=deadline_s, client=client, cancel=CancelFlag())
    return ScheduledRequest(request, NoOutlet(), is_prefill=is_prefill)


def test_order_is_by_priority_then_arrival() -> None:
    jobs = RequestQueue()
    order = [
        explanation := job(Priority.EXPLANATION),
        prefill := job(Priority.COMPLETION, is_prefill=True),
        first := job(Priority.COMPLETION),
        second := job(Priority.COMPLETION),
    ]
    for one in order:
        jobs.add(one)
    taken = []
    while not jobs.is_idle():
        best = jobs.next_request()
        assert best is not None
        taken.append(best)
        jobs.remove(best)
    assert taken == [first, second, prefill, explanation]


@pytest.mark.parametrize("way", ["flag", "abandoned", "deadline"])
def test_what_is_over_is_taken_first_so_that_it_ends_at_once(way: str) -> None:
    jobs = RequestQueue()
    over = job(Priority.EXPLANATION, deadline_s=time.monotonic() - 1 if way == "deadline" else None)
    jobs.add(job(Priority.COMPLETION))
    jobs.add(over)
    if way == "flag":
        over.request.cancel.set()
    elif way == "abandoned":
        over.abandoned.set()
    assert jobs.next_request() is over
    assert over.interruption() is (FinishReason.DEADLINE if way == "deadline" else FinishReason.CANCELLED)


def test_job_is_not_over_before_its_deadline() -> None:
    assert job(Priority.COMPLETION, deadline_s=time.monotonic() + 60).interruption() is None


def test_best_waits_for_a_job() -> None:
    jobs, one = RequestQueue(), job(Priority.COMPLETION)
    threading.Timer(0.05, jobs.add, (one,)).start()
    assert jobs.next_request() is one


def test_closing_wakes_the_waiter_and_refuses_more() -> None:
    jobs = RequestQueue()
    threading.Timer(0.05, jobs.close).start()
    assert jobs.next_request() is None
    with pytest.raises(EngineClosed, match="closed"):
        jobs.add(job(Priority.COMPLETION))


def test_what_is_left_is_handed_out_once() -> None:
    jobs, one = RequestQueue(), job(Priority.COMPLETION)
    jobs.add(one)
    assert (jobs.drain(), jobs.drain()) == ([one], [])


def test_outlet_carries_chunks_errors_and_the_end_in_order() -> None:
    async def scenario() -> list[object]:
        outlet = OutputStream()
        chunk = Chunk("a")

        def produce() -> None:
            for delivery in ((chunk,), None, EngineClosed("gone")):
                outlet.put(delivery)

        threading.Thread(target=produce).start()
        seen: list[object] = [await outlet.chunks(), await outlet.chunks()]
        with pytest.raises(EngineClosed, match="gone"):
            await outlet.chunks()
        return seen

    assert asyncio.run(scenario()) == [(Chunk("a"),), None]


def test_outlet_of_a_closed_loop_swallows() -> None:
    async def made() -> OutputStream:
        return OutputStream()

    asyncio.run(made()).put((Chunk("late"),))


def test_jobs_are_told_apart_by_identity() -> None:
    one = job(Priority.COMPLETION)
    assert one != dataclasses.replace(one)


def turns(jobs: RequestQueue, pieces: int) -> list[ScheduledRequest]:
    """Who gets the next pieces of work."""
    taken = []
    for _ in range(pieces):
        best = jobs.next_request()
        assert best is not None
        taken.append(best)
    return taken


def test_a_client_with_many_requests_does_not_keep_another_waiting() -> None:
    jobs = RequestQueue()
    crowd = [job(client="many") for _ in range(10)]
    for one in crowd:
        jobs.add(one)
    assert turns(jobs, 1) == [crowd[0]]
    jobs.remove(crowd[0])
    jobs.add(single := job(client="one"))
    assert turns(jobs, 1) == [single]


def test_a_long_request_gives_others_a_turn_and_takes_it_again() -> None:
    jobs = RequestQueue()
    jobs.add(long := job(client="a"))
    assert turns(jobs, 5) == [long] * 5
    jobs.add(other := job(client="b"))
    assert turns(jobs, TURN_PASSES - 5) == [long] * (TURN_PASSES - 5)
    assert turns(jobs, TURN_PASSES) == [other] * TURN_PASSES
    assert turns(jobs, 1) == [long]


def test_a_short_request_is_not_cut_in_pieces_by_others() -> None:
    jobs = RequestQueue()
    jobs.add(short := job(client="a"))
    jobs.add(other := job(client="b"))
    assert turns(jobs, 10) == [short] * 10
    jobs.remove(short)
    assert turns(jobs, 1) == [other]


def test_who_comes_again_and_again_does_not_starve_who_waits() -> None:
    jobs = RequestQueue()
    jobs.add(waiting := job(client="a"))
    turns(jobs, TURN_PASSES)
    served = 0
    for _ in range(20):
        jobs.add(again := job(client="b"))
        served += turns(jobs, TURN_PASSES).count(waiting)
        jobs.remove(again)
    assert served >= 9 * TURN_PASSES


def test_a_turn_ends_for_whoever_is_more_urgent() -> None:
    jobs = RequestQueue()
    jobs.add(prefill := job(is_prefill=True, client="a"))
    assert turns(jobs, 1) == [prefill]
    jobs.add(completion := job(client="a"))
    assert turns(jobs, 2) == [completion, completion]


def test_equals_are_those_of_one_priority_the_first_of_each_client_before_the_second_of_any() -> None:
    jobs = RequestQueue()
    many = [job(client="many") for _ in range(3)]
    others = [job(client="one"), job(Priority.EXPLANATION, client="one"), job(client="other"), job(is_prefill=True)]
    over = job(client="gone")
    over.request.cancel.set()
    for one in (*many, *others, over):
        jobs.add(one)
    assert jobs.peers_of(many[0]) == [many[1], others[0], others[2], many[2]]
    assert jobs.peers_of(others[3]) == []


def test_of_one_clients_requests_those_that_have_begun_come_first() -> None:
    jobs = RequestQueue()
    leader, waiting, begun = job(client="a"), job(client="b"), job(client="b")
    begun.steps = (x for x in ())  # type: ignore[assignment]
    for one in (leader, waiting, begun):
        jobs.add(one)
    assert jobs.peers_of(leader) == [begun, waiting]


def test_a_given_turn_is_one_piece_and_no_way_past_a_priority() -> None:
    jobs = RequestQueue()
    jobs.add(leader := job(client="a"))
    jobs.add(reader := job(client="b"))
    assert turns(jobs, 3) == [leader] * 3
    jobs.give_turn(reader)
    assert turns(jobs, 2) == [reader, leader]
    jobs.add(slow := job(Priority.EXPLANATION, client="c"))
    jobs.give_turn(slow)
    assert slow not in turns(jobs, 3)


def test_it_is_quiet_until_somebody_comes() -> None:
    jobs = RequestQueue()
    assert jobs.stays_quiet(0.0)
    began_s = time.monotonic()
    assert jobs.stays_quiet(0.05)
    assert time.monotonic() - began_s >= 0.05
    one = job()
    threading.Timer(0.02, jobs.add, [one]).start()
    assert not jobs.stays_quiet(30.0)
    jobs.remove(one)
    assert jobs.stays_quiet(0.0)
    jobs.close()
    assert not jobs.stays_quiet(0.0)
