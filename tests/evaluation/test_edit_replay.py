from __future__ import annotations

import itertools

import pytest

from starcoder_ls.evaluation import edit_replay
from starcoder_ls.evaluation.edit_replay import replay_arguments, replay_renames, replay_typing
from starcoder_ls.next_edit.mechanical import find_next_edits
from starcoder_ls.next_edit.token_changes import Replacement

CODE = """
def load(path, mode):
    with open(path, mode) as file:
        return file.read()


def first(path):
    text = load(path, "r")
    return text + load(path, mode="rb") + text


class Reader:
    def read(self, path):
        return load(path, "r") + self.read(path)
"""


def test_replayed_renames_are_all_offered() -> None:
    score = replay_renames(CODE, 20, 0, itertools.count().__next__)
    assert score.changes == 8
    assert (score.remaining, score.correct, score.wrong) == (14, 14, 0)
    assert set(score.seconds) == {1}


def test_replayed_arguments_are_all_offered() -> None:
    score = replay_arguments(CODE, 20, 0)
    assert (score.changes, score.remaining, score.correct, score.wrong) == (2, 5, 5, 0)


def test_typing_a_function_again_offers_nothing() -> None:
    score = replay_typing(CODE, 100, 0)
    assert 60 < score.keystrokes <= 120
    assert score.offers_while_typing == 0


def test_wrong_offers_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_more(*arguments: object) -> list[Replacement]:  # a mutant that also changes the first line
        return [*find_next_edits(*arguments), Replacement(0, 0, "", "x")]  # type: ignore[arg-type]

    monkeypatch.setattr(edit_replay, "find_next_edits", find_more)
    score = replay_renames(CODE, 1, 0)
    assert (score.changes, score.wrong) == (1, 1)
    assert score.correct == score.remaining
