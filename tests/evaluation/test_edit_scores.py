from __future__ import annotations

import pytest

from starcoder_ls.evaluation.edit_scores import EditTask, Outcome, compare, is_only_intended, score_edit

DOCUMENT = "import os\n\ndef f(a):\n    return a\n"
START = DOCUMENT.index("def")
TASK = EditTask("c0", "a.py", "python", "Rename a to b", DOCUMENT, START, len(DOCUMENT) - 1, "def f(b):\n    return b")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (None, Outcome.UNCHANGED),
        ("def f(a):\n    return a  ", Outcome.UNCHANGED),
        ("def f(b):\n    return b\n", Outcome.EXACT),
        ("def f(b):\n    return (b)", Outcome.DIFFERENT),
        ("def f(b):\n    return a", Outcome.WRONG),
        ("def f(b:\n", Outcome.WRONG),
    ],
)
def test_answer_is_compared_with_the_edit_that_was_made(text: str | None, outcome: Outcome) -> None:
    scored = score_edit(TASK, text, 12.344)
    assert scored.outcome is outcome
    assert scored.is_right is (outcome is Outcome.EXACT)
    assert (scored.path, scored.before, scored.elapsed_ms) == ("c0", "def f(a):\n    return a", 12.34)


def test_texts_of_other_languages_may_differ_in_blanks() -> None:
    assert compare("a(b)", "a(b, c)", "a(b,c)", "javascript") is Outcome.DIFFERENT
    assert compare("a(b)", "a(b, c)", "a(b,d)", "javascript") is Outcome.WRONG


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("a\nx\nc\nd", True),
        ("a\ny\nz\nc\nd", True),
        ("a\nx\nc\nz", False),
        ("a\nx\nc", False),
        ("z\na\nx\nc\nd", False),
    ],
)
def test_only_lines_of_the_edit_are_intended(answer: str, expected: bool) -> None:
    assert is_only_intended("a\nb\nc\nd", "a\nx\nc\nd", answer) is expected


def test_no_answer_is_not_counted_as_intended() -> None:
    assert not score_edit(TASK, None, 0).is_only_intended
    assert score_edit(TASK, "def f(b):\n    return a", 0).is_only_intended
