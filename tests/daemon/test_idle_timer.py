from __future__ import annotations

from starcoder_ls.daemon.idle_timer import IdleTimer


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_idle_timer_expires_after_the_idle_time_without_clients() -> None:
    clock = FakeClock()
    timer = IdleTimer(10.0, clock)
    clock.now_s += 10.0
    assert not timer.is_expired(has_clients=False)
    clock.now_s += 0.1
    assert timer.is_expired(has_clients=False)


def test_idle_timer_starts_again_when_clients_have_left() -> None:
    clock = FakeClock()
    timer = IdleTimer(10.0, clock)
    clock.now_s += 100.0
    assert not timer.is_expired(has_clients=True)
    clock.now_s += 9.0
    assert not timer.is_expired(has_clients=False)
    timer.restart()
    clock.now_s += 9.0
    assert not timer.is_expired(has_clients=False)
    clock.now_s += 2.0
    assert timer.is_expired(has_clients=False)
