from __future__ import annotations

import pytest

from edited_text import EditedText
from starcoder_ls.next_edit.mechanical import find_next_edits
from starcoder_ls.next_edit.source import MAX_SOURCE_CHARS
from starcoder_ls.next_edit.token_changes import Replacement

CODE = "first(n)\n\n\ndef f(n):\n    a(n)\n    b(n)\n    return n\n"


def test_nearest_position_comes_first() -> None:
    document = EditedText(CODE)
    document.replace("f(n)", "f(k)")
    assert [each.start for each in document.proposals()] == [CODE.index("a(n)") + 2, CODE.index("b(n)") + 2, 50]
    document.cursor = len(document.text)
    assert document.proposals()[0].start == 50


def test_position_of_the_cursor_is_not_proposed() -> None:
    document = EditedText(CODE)
    document.replace("f(n)", "f(k)")
    first = document.proposals()[0]
    document.cursor = first.end
    assert first not in document.proposals()


def test_newest_edit_that_has_something_left_is_continued() -> None:
    document = EditedText("def f(a, b):\n    return a, b\n")
    document.replace("(a", "(x")
    document.replace("b)", "y)")
    assert document.accept_all() == "def f(x, y):\n    return x, y\n"


@pytest.mark.parametrize("typed", ["print(n)\n    ", "n = 2\n    ", "f(1)\n    "])
def test_typing_new_code_gives_nothing(typed: str) -> None:
    document = EditedText(CODE)
    start = document.text.index("return")
    for index, char in enumerate(typed):
        document.apply(Replacement(start + index, start + index, "", char))
        assert document.proposals() == []


def test_user_who_takes_back_one_position_is_not_offered_it_again() -> None:
    document = EditedText(CODE)
    document.replace("f(n)", "f(k)")
    document.apply(document.proposals()[0])
    document.replace("b(n)", "b(n) ")  # so that the next edit is a separate one
    document.replace("a(k)", "a(n)")
    assert "k" not in {each.text for each in document.proposals() if each.start == document.text.index("a(n)") + 2}


def test_change_of_a_part_of_a_replaced_word_is_a_new_change() -> None:
    document = EditedText(CODE)
    document.replace("f(n)", "f(rows)")
    document.cursor = 0
    document.replace("first", "last")
    document.replace("f(rows)", "f(row)")
    assert {(each.old, each.text) for each in document.proposals()} <= {("n", "row")}


def test_text_that_is_too_long_gives_nothing() -> None:
    document = EditedText(CODE + "x = 1\n" * (MAX_SOURCE_CHARS // 6))
    document.replace("f(n)", "f(k)")
    assert find_next_edits(document.open_text(), 0, document.history.recent(), {}) == []
