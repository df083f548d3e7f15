from __future__ import annotations

import pytest

from edited_text import EditedText
from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.next_edit.token_changes import (
    TokenChange,
    current_offsets,
    locate_edit,
    revert,
    reverted_start,
    same_changes,
    token_change,
)


def recent(start: int | None, before: str, after: str) -> RecentEdit:
    return RecentEdit("file:///a.py", "/a.py", start, before, after)


@pytest.mark.parametrize(
    ("text", "edit", "expected"),
    [
        ("counter = 1", recent(5, "", "er"), TokenChange(0, "count", "counter")),
        ("total = 1", recent(0, "count", "total"), TokenChange(0, "count", "total")),
        ("a.new(x)", recent(0, "a.old(x)", "a.new(x)"), TokenChange(2, "old", "new")),
        ("new = 1", recent(0, "", "new"), None),  # no text was replaced
        ("a = 1", recent(0, "b\n", "a"), None),
        ("changed again", recent(0, "count", "total"), None),
        ("total", recent(None, "count", "total"), None),
    ],
)
def test_edit_is_read_as_a_change_of_whole_words(text: str, edit: RecentEdit, expected: TokenChange | None) -> None:
    assert token_change(edit, text) == expected


def test_common_ends_do_not_belong_to_the_edit() -> None:
    assert locate_edit(recent(0, "f(a, b)", "f(b)"), "f(b)") == (2, 2, "a, ")


def test_reverted_text_and_positions_are_those_before_all_equal_changes() -> None:
    document = EditedText("a x a y a")
    for _ in range(2):
        document.replace("a", "long")
    edits = document.history.recent()
    change = token_change(edits[0], document.text)
    assert change is not None
    changes = same_changes(change, edits, document.text)
    assert document.text == "long x long y a"
    assert revert(document.text, changes) == "a x a y a"
    assert [reverted_start(changes, index) for index in range(2)] == [0, 4]
    assert [document.text[at] for at in current_offsets(changes, [2, 6, 8])] == ["x", "y", "a"]


def test_renaming_replaces_a_word_by_a_word() -> None:
    pairs = [("a", "b"), ("a", "b.c"), ("1", "b"), ("ä", "ö"), ("a", "")]
    assert [TokenChange(0, old, new).is_renaming for old, new in pairs] == [True, False, False, True, False]
