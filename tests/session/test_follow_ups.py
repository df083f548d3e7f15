from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from harness import URI, async_test
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session import follow_ups
from starcoder_ls.session.follow_ups import FollowedSuggestion, FollowUps, Observation, match_percent, retained_percent
from starcoder_ls.session.tracked_ranges import TrackedRange


class Recorder:
    """Collects observations; timers run when the test calls them."""

    def __init__(self) -> None:
        self.documents, self.observations = Documents(), list[Observation]()
        self.timers: list[tuple[float, asyncio.TimerHandle]] = []
        self.documents.open(URI, "python", 1, "x = abc\n")
        self.follow_ups = FollowUps(self.documents, self.observations.append, self.call_later)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.timers.append((delay_s, asyncio.TimerHandle(0.0, callback, (), asyncio.get_running_loop())))
        return self.timers[-1][1]

    def run_timers(self) -> None:
        for _, handle in self.timers:
            if not handle.cancelled():
                handle._run()
        self.timers.clear()


def followed(key: str = "1") -> FollowedSuggestion:
    return FollowedSuggestion.at(key, URI, "abc", 4, "x = \n", TrackedRange(4, 7))


@async_test
async def test_suggestion_is_observed_after_each_delay() -> None:
    recorder = Recorder()
    recorder.follow_ups.start(followed())
    assert [delay_s for delay_s, _ in recorder.timers] == [10, 30]
    recorder.run_timers()
    assert [(seen.delay_s, seen.written(), seen.match_percent()) for seen in recorder.observations] == [
        (10, "abc", 100), (30, "abc", 100)
    ]  # fmt: skip


@async_test
async def test_accepted_suggestion_starts_its_delays_again() -> None:
    recorder = Recorder()
    recorder.follow_ups.start(followed())
    recorder.follow_ups.start(followed(), is_accepted=True)
    recorder.run_timers()
    assert [(seen.delay_s, seen.is_accepted) for seen in recorder.observations] == [(10, True), (30, True)]


@async_test
async def test_oldest_of_too_many_suggestions_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_ups, "_MAX_FOLLOWED", 2)
    recorder = Recorder()
    for key in ("1", "2", "3"):
        recorder.follow_ups.start(followed(key))
    recorder.run_timers()
    assert {seen.suggestion.key for seen in recorder.observations} == {"2", "3"}


@pytest.mark.parametrize("way", ["discarded", "closed", "out of sync"])
@async_test
async def test_nothing_is_observed_when_the_text_is_not_known(way: str) -> None:
    recorder = Recorder()
    recorder.follow_ups.start(followed())
    if way == "discarded":
        recorder.follow_ups.discard(URI)
    elif way == "closed":
        recorder.follow_ups.close()
    else:
        recorder.documents.mark_out_of_sync(URI)
    recorder.run_timers()
    assert recorder.observations == []


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("a = 1\nx = one(two)\n", 100),
        ("# new\n\na = 1\nx = one(two)  \n", 100),  # moved down
        ("a = 1\nx = one(three)\n", 62),  # "one(t" and nothing else that is longer than two characters
        ("a = 1\n", 0),
        ("", 0),
    ],
)
def test_retained_percent_counts_text_that_is_still_there(text: str, percent: int) -> None:
    assert retained_percent("one(two)", "a = 1\nx = ", 10, text) == percent


@pytest.mark.parametrize(
    ("text", "percent"), [("", 0), ("ab\r\ncd  \r\n", 100), ("ab\nxcd", 60), ("b\ncd", 80), ("q", 0)]
)
def test_match_percent_ignores_line_ends_and_short_matches(text: str, percent: int) -> None:
    assert match_percent("ab\ncd", text) == percent


def test_text_of_a_longer_suggestion_below_the_range_does_not_count() -> None:
    tracked = TrackedRange(4, 4)
    suggestion = FollowedSuggestion.at("1", URI, "abc", 4, "x = \nabc\n", tracked)
    assert Observation(suggestion, 30, "x = abc\n", is_accepted=False).match_percent() == 0
