from __future__ import annotations

import pytest

from starcoder_ls.next_edit.line_change import LineChange, find_change, find_difference, is_too_long

OLD = list("abcdefgh")


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("abXde", LineChange(2, 3, 3)),
        ("abXcd", LineChange(2, 2, 3)),
        ("abde", LineChange(2, 3, 2)),
        ("abXYfg", LineChange(2, 5, 4)),
        ("abcdXYZfgh", LineChange(4, 5, 7)),
    ],
)
def test_change_is_complete_when_two_lines_are_those_of_the_window(new: str, expected: LineChange) -> None:
    for length in range(len(new)):
        found = find_change(OLD, list(new[:length]))
        assert found is None or found == expected
    assert find_change(OLD, list(new)) == expected
    assert find_change(OLD, list(new), has_ended=True) == expected


@pytest.mark.parametrize("new", ["", "abc", "abcdefgh", "abX", "abXc"])
def test_answer_without_a_complete_change_has_none(new: str) -> None:
    assert find_change(OLD, list(new)) is None


def test_answer_that_ends_may_change_the_last_lines() -> None:
    assert find_change(OLD, list("abcdefgX"), has_ended=True) == LineChange(7, 8, 8)
    assert find_change(OLD, list("abcdefXh"), has_ended=True) == LineChange(6, 7, 7)
    assert find_change(OLD, list("abcdXYh"), has_ended=True) == LineChange(4, 7, 6)


@pytest.mark.parametrize("new", ["abc", "abcdef", "abX", "abcdefghX", "XYZ", "abcdeX"])
def test_answer_that_ends_early_or_goes_on_behind_the_window_has_none(new: str) -> None:
    assert find_change(OLD, list(new), has_ended=True) is None


def test_blank_lines_alone_do_not_complete_a_change() -> None:
    old = ["a", "b", "", "", "c", "d"]
    assert find_change(old, ["a", "X", "", ""]) is None
    assert find_change(old, ["a", "X", "", "", "c"]) == LineChange(1, 3, 3)


def test_long_difference_is_given_up() -> None:
    assert not is_too_long(OLD, ["a", *["X"] * 13])
    assert is_too_long(OLD, ["a", *["X"] * 15])
    assert find_difference(OLD, OLD) is None
    assert find_difference(OLD, [*OLD, "x"]) == 8
