from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.engine.generation.prompt_lookup import (
    MATCH_TOKENS,
    MAX_DRAFT_TOKENS,
    AcceptanceRates,
    DraftHistory,
    PromptLookup,
    _encode,
)

CHEAP = (1.0,) * (MAX_DRAFT_TOKENS + 1)  # eight tokens cost what one costs: whatever may be right pays


def lookup(prompt: list[int], history: DraftHistory | None = None) -> PromptLookup:
    return PromptLookup(prompt, history or DraftHistory())


def test_draft_is_what_followed_the_same_tokens() -> None:
    assert lookup([1, 2, 3, 4, 50, 51, 52, 9, 1, 2, 3, 4]).propose(3, CHEAP) == [50, 51, 52]


def test_later_of_two_equal_matches_is_used() -> None:
    assert lookup([1, 2, 50, 9, 1, 2, 60, 9, 1, 2]).propose(1, CHEAP) == [60]


def test_longer_match_is_used_before_a_later_one() -> None:
    assert lookup([7, 1, 2, 50, 9, 8, 1, 2, 60, 9, 7, 1, 2]).propose(1, CHEAP) == [50]


def test_single_token_is_not_a_match() -> None:
    assert lookup([1, 50, 2, 1]).propose(3, CHEAP) == []


def test_drafts_are_taken_from_generated_tokens() -> None:
    request_lookup = lookup([5, 6])
    for id_ in (1, 2, 50, 9, 1, 2):
        request_lookup.append(id_)
    assert request_lookup.propose(2, CHEAP) == [50, 9]


def test_latest_answer_is_used_before_the_prompt() -> None:
    history = DraftHistory()
    history.add([1, 2, 3, 4], [70, 71])
    history.add([1, 2, 3, 4], [80, 81])
    assert lookup([1, 2, 3, 4, 50, 9, 1, 2, 3, 4], history).propose(5, CHEAP) == [80, 81]


def test_draft_does_not_continue_into_the_next_answer() -> None:
    history = DraftHistory()
    history.add([1, 2], [70])
    history.add([5, 6], [80, 81])
    assert lookup([1, 2], history).propose(5, CHEAP) == [70]


def test_draft_is_no_longer_than_the_limit() -> None:
    text = [1, 2, *range(100, 130), 1, 2]
    assert lookup(text).propose(3, CHEAP) == [100, 101, 102]
    assert len(lookup(text).propose(30, CHEAP)) == MAX_DRAFT_TOKENS
    assert lookup(text).propose(0, CHEAP) == []


def test_no_draft_if_each_token_costs_a_pass() -> None:
    dear = tuple(float(rows) for rows in range(1, MAX_DRAFT_TOKENS + 2))
    assert lookup([1, 2, 50, 9, 1, 2]).propose(5, dear) == []


@pytest.mark.parametrize("match", MATCH_TOKENS)
def test_acceptance_rates_turn_drafts_off_and_on_again(match: int) -> None:
    rates = AcceptanceRates()
    costs = (1.0, 1.2, 1.4, 1.6)
    for _ in range(60):
        rates.first[match].add(False)
    assert rates.best_length(match, 3, costs) == 0
    for _ in range(60):
        rates.first[match].add(True)
        rates.later[match].add(True)
    assert rates.best_length(match, 3, costs) == 3


def test_untried_draft_is_counted_by_the_tokens_that_came() -> None:
    history = DraftHistory()
    rates, before = history.rates, history.rates.first[2].share
    request_lookup = lookup([1, 2, 50, 51, 9, 1, 2], history)
    dear = (1.0, 9.0)
    assert request_lookup.propose(5, dear) == []
    request_lookup.append(50)
    assert rates.first[2].share > before
    later = rates.later[2].share
    request_lookup.append(77)
    assert rates.later[2].share < later
    shares = (rates.first[2].share, rates.later[2].share)
    request_lookup.append(78)
    assert (rates.first[2].share, rates.later[2].share) == shares


def test_best_length_has_the_most_expected_tokens_per_time() -> None:
    rates = AcceptanceRates()
    rates.first[4].hits, rates.first[4].tries = 50.0, 100.0
    rates.later[4].hits, rates.later[4].tries = 80.0, 100.0
    costs = (1.0, 1.1, 1.3, 1.7, 2.2)
    # 1 + .5 = 1.5, + .4 = 1.9, + .32 = 2.22, + .256 = 2.476 tokens: 1.36, 1.46, 1.31 and 1.13 per time.
    assert rates.best_length(4, 4, costs) == 2


def test_larger_batch_needs_a_higher_acceptance_rate() -> None:
    """A single request pays a whole pass; in a batch of 16 one more token costs nearly what each request pays."""
    costs = [1.0, 1.1, 1.2, 1.3]
    rates = AcceptanceRates()
    for by_match in (rates.first, rates.later):
        for _ in range(200):
            by_match[4].add(True)
            by_match[4].add(False)
    assert rates.best_length(4, 3, costs) == 2
    rates.batch_size = 2
    assert rates.best_length(4, 3, costs) > 0
    rates.batch_size = 16
    assert rates.best_length(4, 3, costs) == 0
    for _ in range(400):
        rates.first[4].add(True)
    assert rates.best_length(4, 3, costs) > 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.lists(st.integers(0, 5), max_size=20))
def test_draft_always_followed_the_same_last_tokens(prompt: list[int], more: list[int]) -> None:
    request_lookup = lookup(prompt)
    written = list(prompt)
    for id_ in more:
        request_lookup.append(id_)
        written.append(id_)
        if draft := request_lookup.propose(MAX_DRAFT_TOKENS, CHEAP):
            occurrence = written[-2:] + draft
            assert any(
                written[at : at + len(occurrence)] == occurrence for at in range(len(written) - len(occurrence) + 1)
            )


def test_ids_that_are_surrogates_are_drafted() -> None:
    """And ids of the largest vocabulary there is."""
    assert lookup([0xD800, 0xDFFF, 0, 256_000, 9, 0xD800, 0xDFFF]).propose(2, CHEAP) == [0, 256_000]


@given(st.lists(st.integers(0, 0x10FFFF), max_size=50))
def test_encode_maps_every_id_to_one_character(ids: list[int]) -> None:
    assert _encode(ids) == "".join(map(chr, ids))
