from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feedback_rows import days_of_rows
from starcoder_ls.feedback_store.promotion_effect import State, compare
from starcoder_ls.feedback_store.promotions import Promotion
from starcoder_ls.feedback_store.rows import FeedbackRow

AT = datetime(2026, 11, 15, tzinfo=UTC)
DAYS = 7
PROMOTION = Promotion(Path("/state/adapters/own"), AT, "2026-11-14", watch_days=DAYS)
END = AT + timedelta(days=DAYS)


def journal(before: float, after: float, seed: int = 0, spread: float = 0.0, per_day: int = 60) -> list[FeedbackRow]:
    rng = random.Random(seed)
    first = AT - timedelta(days=DAYS)
    return [
        *days_of_rows(rng, first, DAYS, before, spread=spread, per_day=per_day),
        *days_of_rows(rng, AT, DAYS, after, spread=spread, per_day=per_day, adapter="own"),
    ]


def until(rows: list[FeedbackRow], now: datetime) -> list[FeedbackRow]:
    return [row for row in rows if row.shown_at < now.timestamp()]


def test_fall_is_found_with_its_interval_and_the_way_back() -> None:
    effect = compare(PROMOTION, journal(0.3, 0.2), END)
    assert effect.state is State.WORSE
    assert (effect.before, effect.after) == (420, 420)
    assert effect.low < effect.kept_after - effect.kept_before < effect.high < 0
    assert "of 420 suggestions were kept since the promotion" in effect.sentence
    assert "`starcoder-ls train rollback own` withdraws it" in effect.sentence


def test_equal_and_better_shares_are_no_fall() -> None:
    for after in (0.3, 0.4):
        effect = compare(PROMOTION, journal(0.3, after), END)
        assert effect.state is State.EQUAL
        assert effect.sentence.endswith("no fall is shown.")


def test_few_outcomes_say_nothing_however_bad_they_are() -> None:
    rows = journal(0.5, 0.0, per_day=12)
    effect = compare(PROMOTION, rows, END)
    assert effect.state is State.WAITING
    assert "84 outcomes of suggestions since the promotion and 84 in the 7 days before it; 100 each" in effect.sentence
    assert "the 7 days are over" in effect.sentence
    assert "watched until 2026-11-22" in compare(PROMOTION, rows, AT).sentence


def test_before_the_end_only_a_clear_fall_counts() -> None:
    early = AT + timedelta(days=3)
    slight, clear = (until(journal(0.3, after), early) for after in (0.13, 0.06))
    assert compare(PROMOTION, slight, END).state is State.WORSE
    assert compare(PROMOTION, slight, early).state is State.EQUAL
    assert compare(PROMOTION, clear, early).state is State.WORSE


def test_other_suggestions_do_not_count() -> None:
    rows = journal(0.3, 0.3)
    bad = [replace(row, outcome="rejected") for row in rows]
    others = [
        *(replace(row, adapter="other") for row in bad if row.adapter),
        *(replace(row, outcome="hidden") for row in bad),
        *(replace(row, outcome="closed") for row in bad),
        *(replace(row, shown_at=row.shown_at + 30 * 86_400) for row in bad),
        *(replace(row, language="go") for row in bad if row.adapter),
    ]
    assert compare(PROMOTION, [*rows, *others], END) == compare(PROMOTION, rows, END)
    merged = [replace(row, adapter=None, model="/state/adapters/own/current/merged") for row in rows if row.adapter]
    assert compare(PROMOTION, [*(row for row in rows if not row.adapter), *merged], END).after == 420


def test_another_mixture_of_languages_is_no_fall() -> None:
    rng, first = random.Random(0), AT - timedelta(days=DAYS)
    rows = [
        *days_of_rows(rng, first, DAYS, 0.5, per_day=90),
        *days_of_rows(rng, first, DAYS, 0.1, per_day=15, language="go"),
        *days_of_rows(rng, AT, DAYS, 0.5, per_day=15, adapter="own"),
        *days_of_rows(rng, AT, DAYS, 0.1, per_day=90, adapter="own", language="go"),
    ]
    effect = compare(PROMOTION, rows, END)
    assert effect.state is State.EQUAL
    assert effect.kept_before == pytest.approx(0.5 * 1 / 7 + 0.1 * 6 / 7, abs=0.06)


def test_alarms_without_a_fall_are_rare_however_often_it_is_looked_at() -> None:
    """Files lean to one side or the other on each day."""
    false_alarms = found = 0
    for seed in range(40):
        rows, fallen = journal(0.3, 0.3, seed, spread=0.15), journal(0.35, 0.15, seed, spread=0.1)
        looks = [AT + timedelta(days=day) for day in (2, 4, DAYS)]
        false_alarms += any(compare(PROMOTION, until(rows, now), now).state is State.WORSE for now in looks)
        found += compare(PROMOTION, fallen, END).state is State.WORSE
    assert false_alarms <= 3, "2.5 % at the end, about 1 % before"
    assert found >= 38
