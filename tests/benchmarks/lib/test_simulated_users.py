from __future__ import annotations

from lib.simulated_users import sample_occasions, use


def test_users_are_repeatable_and_differ() -> None:
    assert sample_occasions(50, 1) == sample_occasions(50, 1)
    assert sample_occasions(50, 1) != sample_occasions(50, 2)


def test_everything_is_shown_and_what_is_right_accepted_without_a_filter() -> None:
    occasions = sample_occasions(300, 1)
    usage = use(occasions, 0.0, lambda _: 1.0)
    assert usage.shown == 300
    assert usage.accepted == sum(occasion.is_right and occasion.is_noticed for occasion in occasions)


def test_hidden_suggestion_is_shown_when_enough_of_it_is_typed() -> None:
    occasions = sample_occasions(200, 1)
    usage = use(occasions, 0.5, lambda features: float(float(features["typed_chars"]) >= 2))
    reached = [occasion for occasion in occasions if min(occasion.common_chars, occasion.chars - 1) >= 2]
    assert usage.shown == len(reached)
    assert 0 < usage.accepted_chars < use(occasions, 0.0, lambda _: 1.0).accepted_chars
