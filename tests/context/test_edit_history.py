from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.context.edit_history import (
    MAX_EDIT_CHARS,
    MAX_EDITS,
    MAX_TOTAL_CHARS,
    EditHistory,
    RecentEdit,
    format_diff,
)

URI, PATH = "file:///project/app.py", "/project/app.py"


class Editor:
    """A document whose edits are recorded."""

    def __init__(self, text: str, history: EditHistory | None = None, uri: str = URI) -> None:
        self.text, self.uri = text, uri
        self.history = history or EditHistory()

    def replace(self, start: int, end: int, inserted: str) -> None:
        removed = self.text[start:end]
        self.text = self.text[:start] + inserted + self.text[end:]
        self.history.record(self.uri, PATH, self.text, start, removed, inserted)

    def type(self, start: int, text: str) -> None:
        for index, char in enumerate(text):
            self.replace(start + index, start + index, char)

    def edits(self) -> list[tuple[int | None, str, str]]:
        return [(edit.start, edit.before, edit.after) for edit in self.history.recent()]


def test_word_deleted_and_typed_again_is_one_edit() -> None:
    editor = Editor("count = 1\nprint(count)\n")
    for end in range(5, 0, -1):
        editor.replace(end - 1, end, "")
    editor.type(0, "total")
    assert editor.edits() == [(0, "count", "total")]
    (edit,) = editor.history.recent()
    assert (edit.lines_before, edit.lines_after) == ("count = 1", "total = 1")


def test_edit_elsewhere_is_separate_and_moves_the_earlier_one() -> None:
    editor = Editor("a = 1\nb = 2\n")
    editor.replace(6, 7, "bb")
    editor.replace(0, 1, "aaa")
    assert editor.edits() == [(0, "a", "aaa"), (8, "b", "bb")]
    assert editor.text[8:10] == "bb"


def test_edit_inside_an_earlier_one_makes_its_position_unknown() -> None:
    editor = Editor("x = 1\n")
    editor.replace(6, 6, "def f():\n    return 1\n")
    editor.replace(10, 11, "g")
    assert editor.edits() == [(10, "f", "g"), (None, "", "def f():\n    return 1\n")]


def test_edit_that_is_undone_is_forgotten() -> None:
    editor = Editor("count\n")
    editor.replace(0, 5, "total")
    editor.replace(0, 5, "count")
    assert editor.edits() == []


def test_typing_after_the_cursor_moved_away_and_back_is_a_new_edit() -> None:
    editor = Editor("one two\n")
    editor.type(0, "a")
    editor.replace(5, 8, "2")
    editor.type(1, "b")
    assert editor.edits() == [(1, "", "b"), (6, "two", "2"), (0, "", "a")]


def test_large_edit_is_not_recorded_but_moves_the_others() -> None:
    editor = Editor("start\nend\n")
    editor.replace(6, 9, "END")
    editor.replace(0, 0, "x" * MAX_EDIT_CHARS + "y")
    assert editor.edits() == [(6 + MAX_EDIT_CHARS + 1, "end", "END")]


def test_number_and_size_of_the_edits_are_bounded() -> None:
    editor = Editor("-" * 1000)
    for index in range(2 * MAX_EDITS):
        editor.replace(index * 10, index * 10 + 1, "+")
    assert len(editor.edits()) == MAX_EDITS
    for index in range(2 * MAX_EDITS):
        editor.replace(len(editor.text) - 10 - index, len(editor.text) - 10 - index, "z" * 1000 + "\n")
        editor.replace(0, 0, "-")
    total = sum(len(before) + len(after) for _, before, after in editor.edits())
    assert 1000 < total <= MAX_TOTAL_CHARS


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4), st.text("ab\n", max_size=3)), max_size=12))
def test_located_edits_stand_where_the_history_says(steps: list[tuple[int, int, str]]) -> None:
    editor = Editor("one two\nthree four\n")
    for start, length, inserted in steps:
        start = min(start, len(editor.text))
        editor.replace(start, min(start + length, len(editor.text)), inserted)
    for position, _, after in editor.edits():
        assert position is None or editor.text[position : position + len(after)] == after


def test_edits_of_other_documents_stay_when_one_is_discarded() -> None:
    history = EditHistory()
    first, second = Editor("a", history), Editor("b", history, "file:///project/other.py")
    first.replace(0, 1, "x")
    second.replace(0, 1, "y")
    history.forget_positions(URI)
    assert [edit.start for edit in history.recent()] == [0, None]
    history.discard(second.uri)
    assert [edit.after for edit in history.recent()] == ["x"]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            RecentEdit(URI, PATH, 0, "count", "total", "", " = 1"),
            "--- app.py\n+++ app.py\n@@\n-count = 1\n+total = 1",
        ),
        (
            RecentEdit(URI, PATH, 0, "", "password = 'kX9-2mQ!zP47vLw0'"),
            "--- app.py\n+++ app.py\n@@\n-\n+password = 'xxxxxxxxxxxxxxxx'",
        ),
    ],
)
def test_diff_has_the_changed_lines_with_secrets_masked(edit: RecentEdit, expected: str) -> None:
    assert format_diff(edit, "app.py") == expected
