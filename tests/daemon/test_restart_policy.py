from __future__ import annotations

from starcoder_ls.daemon.restart_policy import (
    MAX_FAILURES,
    MAX_RETRY_DELAY_S,
    RETRY_DELAY_S,
    STABLE_AFTER_S,
    RestartPolicy,
)
from stepped_engine import ManualClock


def test_failures_in_a_row_stop_the_restarts_and_others_do_not() -> None:
    policy = RestartPolicy(ManualClock())
    assert [policy.record_failure(1.0, False) for _ in range(MAX_FAILURES)] == [False] * (MAX_FAILURES - 1) + [True]
    assert not policy.record_failure(STABLE_AFTER_S + 1, False)
    for _ in range(3 * MAX_FAILURES):
        assert not policy.record_failure(1.0, True)


def test_user_request_starts_a_daemon_and_automatic_ones_wait_longer() -> None:
    clock = ManualClock()
    policy, delay_s = RestartPolicy(clock), RETRY_DELAY_S
    assert policy.stop("broken")
    for _ in range(8):
        clock.now_s += delay_s
        assert not policy.allow_if_due(is_user_request=False)
        clock.now_s += 0.1
        assert policy.allow_if_due(is_user_request=False)
        assert not policy.stop("broken")  # the user has seen this text
        delay_s = min(2 * delay_s, MAX_RETRY_DELAY_S)
    assert delay_s == MAX_RETRY_DELAY_S
    assert policy.allow_if_due(is_user_request=True)
    assert not policy.unavailable_text
    assert policy.stop("other")
    assert policy.unavailable_text == "other"
