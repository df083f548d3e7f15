from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import starcoder_ls
from starcoder_ls.errors import SettingsError
from starcoder_ls.feedback_store.rows import FeedbackRow
from starcoder_ls.learning.preference_data import AUTO, DPO, KTO, MIN_PAIRS, PreferenceData, prepare_data
from starcoder_ls.learning.preference_ids import JudgedIds, PairIds, PreferenceTokenizer
from starcoder_ls.learning.preference_selection import Filters, PreferencePair
from starcoder_ls.text_tokens.tokenizer import Tokenizer

ROW = FeedbackRow(
    "1", 1.0, "rejected", "python", "tiny", None, "model", 12, 1, 0, None, "x = ", "\nend\n", "load_all(path)",
    path_hash="hash", match_percent=0, text_10s="read_lines(file)", text_30s="read_lines(file)\ny = 1",
)  # fmt: skip


def rejected(count: int, files: int = 20) -> list[FeedbackRow]:
    return [replace(ROW, prefix=f"x{number} = ", path_hash=f"{number % files:02}") for number in range(count)]


def accepted(count: int) -> list[FeedbackRow]:
    changes = {"outcome": "accepted", "kept_percent": 100, "match_percent": 100}
    return [replace(row, **changes, prefix=f"y{row.prefix}") for row in rejected(count)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tokenizer() -> PreferenceTokenizer:
    return PreferenceTokenizer(Tokenizer.from_folder(Path(starcoder_ls.__file__).parent / "bundled"))


def prepare(tokenizer: PreferenceTokenizer, rows: list[FeedbackRow], loss: str = AUTO) -> PreferenceData:
    return prepare_data(rows, tokenizer, loss, Filters())


def test_pairs_are_preferred_and_a_tenth_of_the_files_is_held_out(tokenizer: PreferenceTokenizer) -> None:
    data = prepare(tokenizer, [*rejected(100), *accepted(100)])
    assert data.loss == DPO
    assert all(isinstance(example, PairIds) for example in data.training)
    assert (len(data.training), len(data.held_out)) == (90, 10)
    assert data.training_groups.isdisjoint(example.group for example in data.held_out)
    assert data.training_tokens > 90 * 2 * 8


def test_newest_pairs_are_held_out_if_all_are_of_one_file(tokenizer: PreferenceTokenizer) -> None:
    data = prepare(tokenizer, rejected(60, files=1))
    newest = tokenizer.pair(PreferencePair("x59 = ", "\nend\n", "read_lines(file)", "load_all(path)", "00", 0.5))
    assert len(data.held_out) == 6
    assert data.held_out[-1] == newest


def test_judged_suggestions_are_used_where_there_are_too_few_pairs(tokenizer: PreferenceTokenizer) -> None:
    unpaired = [replace(row, text_30s=None) for row in rejected(60)]
    data = prepare(tokenizer, [*unpaired, *accepted(60)])
    assert data.loss == KTO
    assert {example.is_desirable for example in data.training if isinstance(example, JudgedIds)} == {True, False}
    assert data.left_out["edited around"] == 60


def test_data_are_the_same_in_every_run(tokenizer: PreferenceTokenizer) -> None:
    rows = rejected(80)
    assert prepare(tokenizer, rows) == prepare(tokenizer, rows)


@pytest.mark.parametrize("loss", [AUTO, DPO, KTO])
def test_too_little_is_refused_with_the_numbers(tokenizer: PreferenceTokenizer, loss: str) -> None:
    rows = [*rejected(MIN_PAIRS - 1), replace(ROW, outcome="closed")]
    with pytest.raises(SettingsError, match=r"too little .* 49 pairs .*1 outcome closed"):
        prepare(tokenizer, rows, loss)


def test_unknown_loss_is_refused(tokenizer: PreferenceTokenizer) -> None:
    with pytest.raises(SettingsError, match="auto, dpo, kto"):
        prepare(tokenizer, [], "ppo")
