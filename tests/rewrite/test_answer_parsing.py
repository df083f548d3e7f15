from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.rewrite import answer_parsing

PREFIX, SUFFIX = "Question:", "Answer:"
ORIGINAL = "def f(a):\n    return a"


@pytest.mark.parametrize(
    ("text", "answer", "has_ended"),
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
        (f"{ORIGINAL}\nIt returns.", "It returns.", False),
        (ORIGINAL, ORIGINAL, False),
        ("", "", False),
    ],
)
def test_extract_answer_drops_repeated_and_following_questions(text: str, answer: str, has_ended: bool) -> None:
    assert answer_parsing.extract_answer(text, PREFIX, SUFFIX, ORIGINAL) == (answer, has_ended)


def test_extract_answer_without_a_question_prefix_never_ends() -> None:
    assert answer_parsing.extract_answer("Question: x", "", "") == ("Question: x", False)


@given(st.text(alphabet="Q ues\nt", max_size=12), st.text(alphabet="Question: \n", max_size=12))
def test_partial_answer_hides_the_beginning_of_the_next_question(before: str, after: str) -> None:
    answer, _ = answer_parsing.extract_answer(f"It.{before}\nQuest", PREFIX, SUFFIX)
    partial = answer_parsing.hold_back_question(answer, PREFIX)
    assert not partial.rpartition("\n")[2].startswith("Q") or "\nQuest" not in f"\n{partial}"
    assert answer_parsing.extract_answer(f"It.\nQuestion:{after}", PREFIX, SUFFIX) == ("It.", True)


@pytest.mark.parametrize(
    ("answer", "closed"),
    [
        ("```\na\n```", [True]),
        ("```\na", [False]),
        ("~~~py\na\n~~~\n```\nb\n``", [True, False]),
        ("```\n", [False]),
        ("- x\n\n  ```\n  a\n  ```", [True]),
    ],
)
def test_find_fences_marks_a_fence_without_an_end(answer: str, closed: list[bool]) -> None:
    assert [fence.is_closed for fence in answer_parsing.find_fences(answer)] == closed


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Foo bar = new Foo();", "Foo bar = new Foo();"),
        ("Here is a thing:\n\nx = 1\n\nI hope this helps!", "x = 1"),
        ("x = 1\nThis sets x to one.", "x = 1"),
        ("# Set it to one.\nx = 1", "# Set it to one.\nx = 1"),
        ("from a import b\nreturn x and y", "from a import b\nreturn x and y"),
    ],
)
def test_extract_code_drops_sentences_around_code_only(answer: str, code: str) -> None:
    assert answer_parsing.extract_code(answer, ORIGINAL, is_cut=False) == code


def test_extract_code_accepts_words_if_the_original_is_words() -> None:
    assert (
        answer_parsing.extract_code("SELECT name FROM users", "SELECT all FROM users", is_cut=False)
        == "SELECT name FROM users"
    )


def test_extract_code_keeps_sentences_of_the_original() -> None:
    original = "Dear reader, this is text.\nIt goes on."
    assert answer_parsing.extract_code("Dear reader, this is text.\nIt ends.", original, is_cut=False).startswith(
        "Dear reader"
    )


@pytest.mark.parametrize("answer", ["I cannot do that.", "the function should check its argument first", "\n \n"])
def test_extract_code_rejects_an_answer_in_words(answer: str) -> None:
    with pytest.raises(AnswerUnusable):
        answer_parsing.extract_code(answer, ORIGINAL, is_cut=False)


def test_extract_code_takes_the_longest_block_without_an_original() -> None:
    answer = "```\na = 1\n```\n```\nb = 1\nc = 2\n```\n```\nd\n```"
    assert answer_parsing.extract_code(answer, "", is_cut=False) == "b = 1\nc = 2"
