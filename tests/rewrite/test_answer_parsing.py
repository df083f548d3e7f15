from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.rewrite import answer_parsing

HEAD, TAIL = "Question:", "Answer:"
GIVEN = "def f(a):\n    return a"


@pytest.mark.parametrize(
    ("text", "said", "is_over"),
    [
        (" It adds.", "It adds.", False),
        ("\n \n    x = 1\n    y = 2", "    x = 1\n    y = 2", False),
        ("It adds.\nQuestion: and?", "It adds.", True),
        ("It adds.\n\n  Question: and?", "It adds.", True),
        ("It asks a Question: why.", "It asks a Question: why.", False),
        ("Question: x\ncode\n\nAnswer: It adds.", "It adds.", False),
        ("Question: x\ncode\n\nAnswer: It adds.\nQuestion: y", "It adds.", True),
        ("Question: x\ncode", "", False),
        ("Ques", "", False),
        (f"{GIVEN}\nIt returns.", "It returns.", False),
        (GIVEN, GIVEN, False),
        ("", "", False),
    ],
)
def test_repeated_questions_and_next_ones_are_no_part_of_the_answer(text: str, said: str, is_over: bool) -> None:
    assert answer_parsing.body(text, HEAD, TAIL, GIVEN) == (said, is_over)


def test_a_template_without_words_before_the_question_ends_nothing() -> None:
    assert answer_parsing.body("Question: x", "", "") == ("Question: x", False)


@given(st.text(alphabet="Q ues\nt", max_size=12), st.text(alphabet="Question: \n", max_size=12))
def test_a_running_answer_never_shows_the_beginning_of_the_next_question(before: str, after: str) -> None:
    said, _ = answer_parsing.body(f"It.{before}\nQuest", HEAD, TAIL)
    shown = answer_parsing.safely_shown(said, HEAD)
    assert not shown.rpartition("\n")[2].startswith("Q") or "\nQuest" not in f"\n{shown}"
    assert answer_parsing.body(f"It.\nQuestion:{after}", HEAD, TAIL) == ("It.", True)


@pytest.mark.parametrize(
    ("said", "closed"),
    [
        ("```\na\n```", [True]),
        ("```\na", [False]),
        ("~~~py\na\n~~~\n```\nb\n``", [True, False]),
        ("```\n", [False]),
        ("- x\n\n  ```\n  a\n  ```", [True]),
    ],
)
def test_a_block_without_an_end_is_told(said: str, closed: list[bool]) -> None:
    assert [fence.is_closed for fence in answer_parsing.fences(said)] == closed


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Foo bar = new Foo();", "Foo bar = new Foo();"),
        ("Here is a thing:\n\nx = 1\n\nI hope this helps!", "x = 1"),
        ("x = 1\nThis sets x to one.", "x = 1"),
        ("# Set it to one.\nx = 1", "# Set it to one.\nx = 1"),
        ("from a import b\nreturn x and y", "from a import b\nreturn x and y"),
    ],
)
def test_sentences_around_code_are_dropped_and_code_that_reads_like_one_is_kept(said: str, code: str) -> None:
    assert answer_parsing.code_in(said, GIVEN, is_cut=False) == code


def test_languages_of_words_are_code_where_words_were_given() -> None:
    assert (
        answer_parsing.code_in("SELECT name FROM users", "SELECT all FROM users", is_cut=False)
        == "SELECT name FROM users"
    )


def test_a_line_that_stood_in_the_code_is_code() -> None:
    given = "Dear reader, this is text.\nIt goes on."
    assert answer_parsing.code_in("Dear reader, this is text.\nIt ends.", given, is_cut=False).startswith("Dear reader")


@pytest.mark.parametrize("said", ["I cannot do that.", "the function should check its argument first", "\n \n"])
def test_words_alone_are_refused(said: str) -> None:
    with pytest.raises(AnswerUnusable):
        answer_parsing.code_in(said, GIVEN, is_cut=False)


def test_where_nothing_is_replaced_the_longest_block_is_meant() -> None:
    said = "```\na = 1\n```\n```\nb = 1\nc = 2\n```\n```\nd\n```"
    assert answer_parsing.code_in(said, "", is_cut=False) == "b = 1\nc = 2"


@pytest.mark.parametrize(
    ("said", "circle"),
    [
        ("It is. " + "And so on. " * 40, len("It is. And so on. ")),
        ("Base" * 40, 4),
        ("-" * 119, None),
        ("a list: " + ", ".join(map(str, range(90))), None),
        ("", None),
    ],
)
def test_an_answer_that_goes_in_circles_is_told(said: str, circle: int | None) -> None:
    assert answer_parsing.find_repetition(said) == circle
