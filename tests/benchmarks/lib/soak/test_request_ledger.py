"""The accounts of a soak run: each request ends in exactly one outcome."""

from __future__ import annotations

import pytest

from lib.soak.request_ledger import OVERDUE_S, RequestLedger


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_outcomes_add_up_to_the_requests_sent() -> None:
    ledger = RequestLedger(Clock())
    entries = [ledger.record_sent("w", "a") for _ in range(4)]
    ledger.record_answered(entries[0])
    ledger.record_answered(entries[1], "-32601: unknown")
    ledger.record_abandoned(entries[2])
    assert ledger.open_count == 1
    ledger.close()
    assert ledger.outcomes == {"result": 1, "error": 1, "abandoned with its window": 1, "unanswered": 1}
    assert sum(ledger.outcomes.values()) == sum(ledger.sent_by_method.values())
    assert ledger.errors == {"a -32601: unknown": 1}


def test_second_answer_to_a_request_is_rejected() -> None:
    ledger = RequestLedger(Clock())
    entry = ledger.record_sent("w", "a")
    ledger.record_answered(entry)
    with pytest.raises(ValueError, match="closed before"):
        ledger.record_answered(entry)


def test_late_answer_is_reported_but_not_unanswered() -> None:
    clock = Clock()
    ledger = RequestLedger(clock)
    entry = ledger.record_sent("w", "a")
    clock.now_s += OVERDUE_S + 1
    ledger.find_overdue()
    ledger.record_answered(entry)
    assert ledger.unanswered_count == 0
    assert [request["reason"] for request in ledger.late()] == ["answered after 121 s"]


def test_overdue_request_of_an_ended_window_is_unanswered() -> None:
    clock = Clock()
    ledger = RequestLedger(clock)
    overdue = ledger.record_sent("w", "a")
    clock.now_s += OVERDUE_S + 1
    recent = ledger.record_sent("w", "b")
    ledger.find_overdue()
    ledger.record_abandoned(overdue)
    ledger.record_abandoned(recent)
    assert ledger.outcomes == {"unanswered": 1, "abandoned with its window": 1}
    assert [request["method"] for request in ledger.unanswered()] == ["a"]


def test_unanswered_request_is_reported_with_events_around_it() -> None:
    clock = Clock()
    ledger = RequestLedger(clock)
    ledger.record_event("daemon 1", "long before")
    clock.now_s += 100
    ledger.record_event("daemon 2", "SIGKILL")
    clock.now_s += 5
    entry = ledger.record_sent("w", "textDocument/completion")
    ledger.record_lost(entry, "the window closed the connection")
    (found,) = ledger.unanswered()
    assert (found["method"], found["window"], found["sent_s"]) == ("textDocument/completion", "w", 105.0)
    assert found["around"] == ["100.0 s: daemon 2 SIGKILL"]


def test_latency_is_recorded_by_minute_of_the_answer() -> None:
    clock = Clock()
    ledger = RequestLedger(clock)
    clock.now_s += 59
    entry = ledger.record_sent("w", "textDocument/inlineCompletion")
    clock.now_s += 2
    ledger.record_answered(entry)
    assert ledger.latencies_ms == {1: [2000.0]}
