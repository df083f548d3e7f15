import pytest

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import postprocess
from starcoder_ls.generation import FinishReason


def apply(text: str, prefix: str = "", suffix: str = "", finish_reason: FinishReason = FinishReason.END_OF_TEXT) -> str:
    return postprocess.apply_filters(text, InsertionPoint.at(prefix, suffix, "python"), finish_reason)


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
def test_text_after_the_cursor_is_not_repeated(text: str, suffix: str, expected: str) -> None:
    assert apply(text, "x", suffix) == expected


def test_quote_that_ends_a_string_of_the_suggestion_stays() -> None:
    assert apply('"a"', "f(", '")') == '"a"'


def test_next_lines_of_the_document_are_not_repeated() -> None:
    suffix = "\n    b = 2\n    return b\n"
    assert apply("a = 1\n    b = 2\n    return b", "def f():\n    ", suffix) == "a = 1"


def test_repeated_line_above_gives_no_suggestion() -> None:
    assert apply("x = compute(1)", "x = compute(1)\n", "") == ""


def test_truncated_text_loses_its_unfinished_end() -> None:
    assert apply("a = 1\n    b = comp", "def f():\n    ", "", FinishReason.LENGTH) == "a = 1"
    assert apply("alpha + be", "x = ", "", FinishReason.DEADLINE) == "alpha +"
    assert apply("alpha + be", "x = ", "", FinishReason.END_OF_TEXT) == "alpha + be"


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\t"])
def test_blank_text_gives_no_suggestion(text: str) -> None:
    assert apply(text) == ""


def test_trailing_blanks_are_removed() -> None:
    assert apply("a = 1  \n\n", "", "") == "a = 1"


def test_short_rest_of_line_is_not_found_inside_a_word() -> None:
    assert apply("items = list(a)\nb", "", "s\n") == "items = list(a)\nb"


def test_blank_before_the_rest_of_the_line_stays() -> None:
    assert apply("a + ", "total = ", "b") == "a + "
