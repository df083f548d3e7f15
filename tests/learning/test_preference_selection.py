from __future__ import annotations

from dataclasses import replace

import pytest

from starcoder_ls.feedback_store.rows import FeedbackRow
from starcoder_ls.learning.preference_selection import Filters, JudgedSuggestion, PreferencePair, select_preferences

ROW = FeedbackRow(
    "1", 1.0, "rejected", "python", "tiny", None, "model", 12, 1, 0, None, "x = ", "\nend\n", "load_all(path)",
    path_hash="hash", match_percent=0, text_10s="read_lines(file)", text_30s="read_lines(file)\ny = 1",
)  # fmt: skip


def accepted(text: str, percent: int) -> FeedbackRow:
    return replace(ROW, id=text, outcome="accepted", suggestion=text, kept_percent=percent, match_percent=percent)


def test_pair_is_what_was_written_over_what_was_rejected() -> None:
    selected = select_preferences([ROW])
    (pair,) = selected.pairs
    assert pair == PreferencePair("x = ", "\nend\n", "read_lines(file)", "load_all(path)", "hash", pair.margin)
    assert 0.3 < pair.margin < 1.0
    assert selected.judged == [JudgedSuggestion("x = ", "\nend\n", "load_all(path)", False, "hash")]
    assert not selected.left_out


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"suggestion": None}, "no text"),
        ({"outcome": "closed"}, "outcome closed"),
        ({"outcome": "hidden"}, "outcome hidden"),
        ({"match_percent": None}, "no later text"),  # as in files of the first version
        ({"suggestion": "password = xxxxxxxxxxxx"}, "secret"),
        ({"text_30s": None}, "edited around"),
        ({"text_30s": " \n"}, "nothing written"),
        ({"text_30s": "read_lines(file"}, "unfinished"),
        ({"text_30s": "load_all(path)\n"}, "tie"),
        ({"text_30s": "load_all( path ),\n"}, "nearly equal"),
        ({"text_30s": "load_all(paths)\n"}, "low margin"),
        ({"text_30s": "ab\n"}, "too short"),
        ({"text_30s": "'xxxxxxxxxxxx'\n"}, "secret"),
    ],
)
def test_outcome_that_says_nothing_makes_no_pair(changes: dict[str, object], reason: str) -> None:
    selected = select_preferences([replace(ROW, **changes)])  # type: ignore[arg-type]
    assert selected.pairs == []
    assert selected.left_out[reason] == 1


def test_written_text_has_as_many_lines_as_the_suggestion() -> None:
    row = replace(ROW, suggestion="if a:\n    b()", text_10s="", text_30s="while c:\r\n    d()\r\ne()")
    (pair,) = select_preferences([row]).pairs
    assert pair.chosen == "while c:\n    d()"


def test_accepted_candidate_is_preferred_to_a_rejected_one() -> None:
    (pair,) = select_preferences([replace(ROW, text_30s=None), accepted("read_lines(file)", 100)]).pairs
    assert (pair.chosen, pair.rejected) == ("read_lines(file)", "load_all(path)")
    elsewhere = replace(accepted("read_lines(file)", 100), prefix="y = ")
    assert select_preferences([replace(ROW, text_30s=None), elsewhere]).pairs == []


@pytest.mark.parametrize(
    ("percent", "is_desirable"), [(100, True), (90, True), (89, None), (26, None), (25, False), (0, False)]
)
def test_accepted_suggestion_is_judged_by_what_was_kept(percent: int, is_desirable: bool | None) -> None:
    selected = select_preferences([accepted("read_lines(file)", percent)])
    assert [judged.is_desirable for judged in selected.judged] == ([] if is_desirable is None else [is_desirable])


def test_rejected_suggestion_that_was_typed_is_not_undesirable() -> None:
    selected = select_preferences([replace(ROW, match_percent=100, text_30s="load_all(path)\n")])
    assert (selected.judged, selected.pairs) == ([], [])
    assert selected.left_out["judged: low margin"] == 1


def test_repetitions_are_selected_once() -> None:
    selected = select_preferences([ROW, replace(ROW, id="2")])
    assert (len(selected.pairs), len(selected.judged)) == (1, 1)


def test_filters_can_be_changed() -> None:
    row = replace(ROW, text_30s="load_all(paths)\n")
    assert len(select_preferences([row], Filters(min_margin=0.01)).pairs) == 1
