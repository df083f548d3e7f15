from __future__ import annotations

from fakes import FakeClock
from starcoder_ls.remote.circuit_breaker import FIRST_DELAY_S, MAX_DELAY_S, MAX_FAILURES, CircuitBreaker


def opened(clock: FakeClock) -> CircuitBreaker:
    breaker = CircuitBreaker(clock.monotonic)
    for _ in range(MAX_FAILURES):
        assert breaker.try_acquire()
        breaker.record_failure()
    return breaker


def test_breaker_opens_after_two_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(FakeClock().monotonic)
    for _ in range(5):
        breaker.record_failure()
        breaker.record_success()
    assert breaker.is_closed
    breaker.record_failure()
    assert breaker.try_acquire()
    breaker.record_failure()
    assert not breaker.try_acquire()


def test_one_request_probes_after_the_delay_and_success_closes() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(FIRST_DELAY_S - 0.01)
    assert not breaker.try_acquire()
    clock.advance(0.02)
    assert [breaker.try_acquire() for _ in range(3)] == [True, False, False]
    breaker.record_success()
    assert breaker.is_closed
    assert all(breaker.try_acquire() for _ in range(3))


def test_delay_doubles_with_each_failed_probe_up_to_a_minute() -> None:
    clock, delays = FakeClock(), []
    breaker = opened(clock)
    for _ in range(8):
        waited_s = 0.0
        while not breaker.try_acquire():
            clock.advance(0.5)
            waited_s += 0.5
        delays.append(waited_s)
        breaker.record_failure()
    assert delays == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0] == sorted(delays)
    assert delays[-1] == MAX_DELAY_S


def test_late_failures_of_old_requests_do_not_prolong_the_delay() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(FIRST_DELAY_S - 0.5)
    breaker.record_failure()
    clock.advance(0.6)
    assert breaker.try_acquire()


def test_cancelled_probe_lets_the_next_request_probe() -> None:
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(FIRST_DELAY_S)
    assert breaker.try_acquire()
    breaker.release()
    assert breaker.try_acquire()


def test_busy_server_gets_no_request_for_the_time_it_asks_for() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock.monotonic)
    breaker.hold(5.0)
    assert (breaker.is_closed, breaker.busy_s) == (True, 5.0)
    clock.advance(5.0)
    assert breaker.busy_s == 0.0
    breaker.hold(86_400.0)
    assert breaker.busy_s == MAX_DELAY_S


def test_tripped_breaker_is_open_after_one_failure() -> None:
    clock = FakeClock()
    breaker = CircuitBreaker(clock.monotonic)
    breaker.record_failure()
    breaker.trip()
    assert not breaker.try_acquire()
    clock.advance(FIRST_DELAY_S)
    assert breaker.try_acquire()
