import pytest

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import postprocess
from starcoder_ls.generation import FinishReason


def shown(text: str, prefix: str = "", suffix: str = "", finish_reason: FinishReason = FinishReason.END_OF_TEXT) -> str:
    return postprocess.shown(text, InsertionPoint.at(prefix, suffix, "python"), finish_reason)


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("a, b)", ")", "a, b"),
        ("a, f(b))", ")", "a, f(b)"),
        ("f(b)", ")", "f(b)"),
        ("a, b):", "):\n    pass", "a, b"),
        ('name"]', '"]', "name"),
        ("[1, 2]", "]", "[1, 2]"),
        ("value + other.size", " + other.size", "value"),
        ("value", " + other.size", "value"),
    ],
)
def test_suffix_already_on_screen_is_cut(text: str, suffix: str, expected: str) -> None:
    assert shown(text, "x", suffix) == expected


def test_quote_that_ends_a_string_of_the_suggestion_is_kept() -> None:
    assert shown('"a"', "f(", '")') == '"a"'


def test_lines_that_the_file_has_next_are_cut() -> None:
    suffix = "\n    b = 2\n    return b\n"
    assert shown("a = 1\n    b = 2\n    return b", "def f():\n    ", suffix) == "a = 1"


def test_line_above_said_again_is_nothing() -> None:
    assert shown("x = compute(1)", "x = compute(1)\n", "") == ""


def test_generation_cut_by_length_loses_its_unfinished_end() -> None:
    assert shown("a = 1\n    b = comp", "def f():\n    ", "", FinishReason.LENGTH) == "a = 1"
    assert shown("alpha + be", "x = ", "", FinishReason.DEADLINE) == "alpha +"
    assert shown("alpha + be", "x = ", "", FinishReason.END_OF_TEXT) == "alpha + be"


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t"])
def test_blank_is_nothing(text: str) -> None:
    assert shown(text) == ""


def test_trailing_blanks_go() -> None:
    assert shown("a = 1  \n\n", "", "") == "a = 1"


def test_short_rest_of_a_line_is_not_found_inside_a_word() -> None:
    assert shown("items = list(a)\nb", "", "s\n") == "items = list(a)\nb"


def test_blank_before_the_rest_of_the_line_is_meant() -> None:
    assert shown("a + ", "total = ", "b") == "a + "
