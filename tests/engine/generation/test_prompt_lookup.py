from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.engine.generation.prompt_lookup import (
    LONGEST,
    MATCH_TOKENS,
    DraftHistory,
    PromptLookup,
    Record,
    _text,
)

CHEAP = (1.0,) * (LONGEST + 1)  # eight tokens cost what one costs: whatever may be right pays


def drafts(prompt: list[int], answers: DraftHistory | None = None, record: Record | None = None) -> PromptLookup:
    return PromptLookup(prompt, answers or DraftHistory(), record or Record())


def test_what_followed_the_same_tokens_is_proposed() -> None:
    assert drafts([1, 2, 3, 4, 50, 51, 52, 9, 1, 2, 3, 4]).proposed(3, CHEAP) == [50, 51, 52]


def test_of_two_places_the_later_wins() -> None:
    assert drafts([1, 2, 50, 9, 1, 2, 60, 9, 1, 2]).proposed(1, CHEAP) == [60]


def test_a_longer_match_wins_over_a_later_one() -> None:
    assert drafts([7, 1, 2, 50, 9, 8, 1, 2, 60, 9, 7, 1, 2]).proposed(1, CHEAP) == [50]


def test_one_token_alone_is_no_match() -> None:
    assert drafts([1, 50, 2, 1]).proposed(3, CHEAP) == []


def test_generated_tokens_are_drafted_from_too() -> None:
    mine = drafts([5, 6])
    for id_ in (1, 2, 50, 9, 1, 2):
        mine.saw(id_)
    assert mine.proposed(2, CHEAP) == [50, 9]


def test_the_latest_answer_comes_before_the_prompt() -> None:
    answers = DraftHistory()
    answers.add([1, 2, 3, 4], [70, 71])
    answers.add([1, 2, 3, 4], [80, 81])
    assert drafts([1, 2, 3, 4, 50, 9, 1, 2, 3, 4], answers).proposed(5, CHEAP) == [80, 81]


def test_an_answer_does_not_run_on_into_the_next() -> None:
    answers = DraftHistory()
    answers.add([1, 2], [70])
    answers.add([5, 6], [80, 81])
    assert drafts([1, 2], answers).proposed(5, CHEAP) == [70]


def test_no_draft_is_longer_than_wanted() -> None:
    text = [1, 2, *range(100, 130), 1, 2]
    assert drafts(text).proposed(3, CHEAP) == [100, 101, 102]
    assert len(drafts(text).proposed(30, CHEAP)) == LONGEST
    assert drafts(text).proposed(0, CHEAP) == []


def test_nothing_is_tried_where_rows_cost_as_much_as_steps() -> None:
    dear = tuple(float(rows) for rows in range(1, LONGEST + 2))
    assert drafts([1, 2, 50, 9, 1, 2]).proposed(5, dear) == []


@pytest.mark.parametrize("match", MATCH_TOKENS)
def test_record_turns_drafts_off_and_on_again_without_trying_any(match: int) -> None:
    record = Record()
    costs = (1.0, 1.2, 1.4, 1.6)
    for _ in range(60):
        record.first[match].seen(False)
    assert record.best_length(match, 3, costs) == 0
    for _ in range(60):
        record.first[match].seen(True)
        record.later[match].seen(True)
    assert record.best_length(match, 3, costs) == 3


def test_a_draft_that_was_not_tried_is_judged_by_what_came() -> None:
    record = Record()
    before = record.first[2].share
    mine = drafts([1, 2, 50, 51, 9, 1, 2], record=record)
    dear = (1.0, 9.0)
    assert mine.proposed(5, dear) == []
    mine.saw(50)
    assert record.first[2].share > before
    later = record.later[2].share
    mine.saw(77)
    assert record.later[2].share < later
    shares = (record.first[2].share, record.later[2].share)
    mine.saw(78)
    assert (record.first[2].share, record.later[2].share) == shares


def test_length_is_the_one_of_the_most_expected_tokens_per_time() -> None:
    record = Record()
    record.first[4].hits, record.first[4].tries = 50.0, 100.0
    record.later[4].hits, record.later[4].tries = 80.0, 100.0
    costs = (1.0, 1.1, 1.3, 1.7, 2.2)
    # 1 + .5 = 1.5, + .4 = 1.9, + .32 = 2.22, + .256 = 2.476 tokens: 1.36, 1.46, 1.31 and 1.13 per time.
    assert record.best_length(4, 4, costs) == 2


def test_in_company_a_draft_must_be_likelier() -> None:
    """A pass is nearly all of the cost alone; beside fifteen others a token more costs nearly what each pays."""
    costs = [1.0, 1.1, 1.2, 1.3]
    record = Record()
    for rates in (record.first, record.later):
        for _ in range(200):
            rates[4].seen(True)
            rates[4].seen(False)
    assert record.best_length(4, 3, costs) == 2
    record.sequences = 2
    assert record.best_length(4, 3, costs) > 0
    record.sequences = 16
    assert record.best_length(4, 3, costs) == 0
    for _ in range(400):
        record.first[4].seen(True)
    assert record.best_length(4, 3, costs) > 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.lists(st.integers(0, 5), max_size=20))
def test_a_draft_always_stood_behind_the_same_tokens(prompt: list[int], more: list[int]) -> None:
    mine = drafts(prompt)
    written = list(prompt)
    for id_ in more:
        mine.saw(id_)
        written.append(id_)
        if guess := mine.proposed(LONGEST, CHEAP):
            wanted = written[-2:] + guess
            assert any(written[at : at + len(wanted)] == wanted for at in range(len(written) - len(wanted) + 1))


def test_ids_that_are_no_characters_are_drafted() -> None:
    """Surrogates, and the largest vocabulary there is."""
    assert drafts([0xD800, 0xDFFF, 0, 256_000, 9, 0xD800, 0xDFFF]).proposed(2, CHEAP) == [0, 256_000]


@given(st.lists(st.integers(0, 0x10FFFF), max_size=50))
def test_every_id_is_one_character(ids: list[int]) -> None:
    assert _text(ids) == "".join(map(chr, ids))
