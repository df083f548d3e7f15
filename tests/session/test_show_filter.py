from __future__ import annotations

import json
import logging
from concurrent.futures import Future
from dataclasses import replace

import pytest

from starcoder_ls.feedback_store.rows import FeedbackRow
from starcoder_ls.session import show_filter
from starcoder_ls.session.show_filter import ShowFilter, training_examples

ROW = FeedbackRow("1", 1.0, "rejected", "python", "tiny", None, "model", 10, 1, 0, None, None, None, None)


def row(confidence: float, is_accepted: bool) -> FeedbackRow:
    features = json.dumps({"confidence": confidence, "tokens": 3, "chars": 9})
    return replace(ROW, outcome="accepted" if is_accepted else "rejected", features=features)


class Reader:
    """Rows of a store; ``reads`` counts how often they were read."""

    def __init__(self, rows: list[FeedbackRow]) -> None:
        self.rows, self.reads = rows, 0

    def read_newest(self, count: int) -> Future[list[FeedbackRow]]:
        self.reads += 1
        future: Future[list[FeedbackRow]] = Future()
        future.set_result(self.rows[-count:])
        return future


def test_probability_comes_from_the_outcomes_in_the_store() -> None:
    reader = Reader([row(0.9 if number % 3 else 0.1, bool(number % 3)) for number in range(400)])
    filter_ = ShowFilter(reader.read_newest)
    low, high = (filter_.probability({"confidence": value, "tokens": 3, "chars": 9}) for value in (0.1, 0.9))
    assert low is not None
    assert high is not None
    assert low < 0.1 < 0.9 < high


def test_model_is_fitted_again_after_50_outcomes() -> None:
    reader = Reader([])
    filter_ = ShowFilter(reader.read_newest)
    for number in range(49):
        assert filter_.probability({}) is None
        filter_.on_outcome(False) if number % 2 else filter_.on_hidden()
    assert reader.reads == 1
    filter_.on_hidden()
    filter_.probability({})
    assert reader.reads == 2


def test_recent_acceptance_follows_the_outcomes() -> None:
    filter_ = ShowFilter(Reader([]).read_newest)
    start = filter_.recent_acceptance
    filter_.on_outcome(True)
    accepted = filter_.recent_acceptance
    filter_.on_outcome(False)
    assert start < accepted
    assert filter_.recent_acceptance < accepted
    for _ in range(100):
        filter_.on_outcome(True)
    assert filter_.recent_acceptance > 0.99


def test_failed_fit_is_logged_and_shows_everything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise ValueError("singular matrix")

    monkeypatch.setattr(show_filter, "fit_show_model", fail)
    with caplog.at_level(logging.WARNING):
        assert ShowFilter(Reader([]).read_newest).probability({}) is None
    assert "All suggestions are shown" in caplog.text


def test_examples_are_known_outcomes_of_suggestions_while_typing() -> None:
    invoked = replace(row(0.5, True), features='{"confidence": 0.5, "is_invoked": 1.0}')
    unknown = replace(row(0.5, True), outcome="closed")
    assert training_examples([row(0.5, True), row(0.2, False), invoked, unknown, replace(ROW, features=None)]) == [
        ({"confidence": 0.5, "tokens": 3, "chars": 9}, True),
        ({"confidence": 0.2, "tokens": 3, "chars": 9}, False),
    ]
