"""Drafts from a predicted answer: how many passes an answer takes, and that it stays the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import checkpoints
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.ngram_mixing import MATCH_CHARS, NgramStrengths
from starcoder_ls.engine.generation.predicted_text import PredictedText, longest_draft
from starcoder_ls.engine.generation.prompt_lookup import DraftHistory, PromptLookup
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.generation import Priority, Request, Timings

FREE = (1.0,) * 8
NEVER = (1.0, *(1000.0,) * 7)  # a lookup that proposes nothing
TEXT = "def wrap(text, width=70):\n    lines = text.split()\n    return fill(lines"
CODE = """def load(path, limit):
    with open(path) as source:
        rows = [json.loads(line) for line in source]
    rows.sort(key=lambda row: row["date"])
    if len(rows) > limit:
        raise ValueError(f"{path} is too long")
    return rows[:limit]
"""
ANSWER = CODE[45:]


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[..., LoadedModel]) -> LoadedModel:
    loaded = doubled(starcoder, chunk_tokens=64)
    loaded.runner.pass_costs = FREE
    return loaded


@pytest.fixture
def copying(tmp_path: Path, doubled: Callable[..., LoadedModel]) -> LoadedModel:
    """A model that repeats the text before: it mixes in n-grams with nearly all weight."""
    loaded = doubled(checkpoints.gpt_bigcode(tmp_path, n_positions=1024), chunk_tokens=64)
    loaded.runner.pass_costs = FREE
    levels = {f"{n}/{seen}/{kind}": 0.9999 for n in MATCH_CHARS for seen in range(1, 5) for kind in ("one", "many")}
    loaded.ngram_strengths = NgramStrengths(levels)
    return loaded


def generate(loaded: LoadedModel, request: Request) -> tuple[list[int], str, Timings]:
    chunks = [chunk for output in generate_alone(request, GenerationState.empty(loaded)) for chunk in output]
    timings = chunks[-1].timings
    assert timings is not None
    return [id_ for chunk in chunks for id_ in chunk.token_ids], "".join(chunk.text for chunk in chunks), timings


def copy_request(loaded: LoadedModel, prediction: str) -> Request:
    """A request whose answer is ``ANSWER``."""
    return Request(
        (CODE + CODE[: -len(ANSWER)],), loaded.tokenizer.count_tokens(ANSWER), prefix_parts=(0,), prediction=prediction
    )


def test_copied_answer_takes_a_pass_for_many_tokens(copying: LoadedModel) -> None:
    ids, text, timings = generate(copying, copy_request(copying, ANSWER))
    assert text == ANSWER
    assert len(ids) > 100
    assert timings.decode_steps <= 5  # 14, 28, 56 and 63 drafts, each with one more token
    assert timings.accepted_tokens + timings.decode_steps == len(ids) - 1
    assert generate(copying, copy_request(copying, ""))[2].decode_steps > 3 * timings.decode_steps


@pytest.mark.parametrize(("removed", "inserted"), [(1, "9"), (6, ""), (0, "  # a comment"), (30, "other(code)")])
def test_a_change_in_the_middle_costs_few_passes(copying: LoadedModel, removed: int, inserted: str) -> None:
    changed = ANSWER[:81] + inserted + ANSWER[81 + removed :]
    _, text, timings = generate(copying, copy_request(copying, changed))
    assert text == ANSWER
    assert timings.decode_steps <= 14


def test_wrong_prediction_changes_no_answer(loaded: LoadedModel) -> None:
    request = Request((TEXT,), 40)
    ids, _, _ = generate(loaded, request)
    assert generate(loaded, replace(request, prediction="entirely different " * 20))[0] == ids
    assert generate(loaded, replace(request, prediction=TEXT))[0] == ids


def test_next_edit_leaves_no_drafts_for_later_requests(loaded: LoadedModel) -> None:
    state = GenerationState.empty(loaded)
    for priority, expected in ((Priority.NEXT_EDIT, False), (Priority.COMPLETION, True)):
        list(generate_alone(Request((TEXT,), 9, priority=priority), state))
        assert bool(state.draft_history.text()) is expected


def test_draft_grows_while_it_is_right_and_shrinks_after_a_difference() -> None:
    ids = list(range(100, 400))
    predicted = PredictedText(ids, PromptLookup([1, 2], DraftHistory()), 63)
    lengths = []
    at = 0
    for _ in range(4):
        draft = predicted.propose(500, NEVER)
        assert draft == ids[at : at + len(draft)]
        lengths.append(len(draft))
        for id_ in draft:
            predicted.append(id_)
        at += len(draft)
    assert lengths == [14, 28, 56, 63]
    predicted.append(7)  # in place of the next one
    assert predicted.propose(500, NEVER) == []
    predicted.append(ids[at + 1])
    assert predicted.propose(500, NEVER) == ids[at + 2 : at + 9]


@pytest.mark.parametrize("inserted", [[7, 8, 9], []])
def test_prediction_continues_after_inserted_and_removed_tokens(inserted: list[int]) -> None:
    ids = list(range(100, 200))
    predicted = PredictedText(ids, PromptLookup([1, 2], DraftHistory()), 63)
    answer = [*ids[:10], *inserted, *ids[10 if inserted else 14 :][:2]]
    for id_ in answer:
        predicted.append(id_)
    following = ids.index(answer[-1]) + 1
    assert predicted.propose(3, NEVER) == ids[following : following + 3]


def test_lookup_proposes_where_the_prediction_has_ended() -> None:
    lookup = PromptLookup([5, 6, 7, 8, 5, 6], DraftHistory())
    assert PredictedText([], lookup, 63).propose(2, FREE) == [7, 8]
    assert PredictedText([9], lookup, 63).propose(2, FREE, lambda id_: id_ == 7) == [7, 8]


@pytest.mark.parametrize(
    ("costs", "chunk_tokens", "expected"),
    [
        ((1.0,) * 8, 512, 63),
        ((1.0,) * 8, 32, 31),
        ((2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0), 512, 18),
        ((20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0), 512, 7),
    ],
)
def test_longest_draft_is_what_a_key_may_wait_for(costs: tuple[float, ...], chunk_tokens: int, expected: int) -> None:
    assert longest_draft(costs, chunk_tokens) == expected
