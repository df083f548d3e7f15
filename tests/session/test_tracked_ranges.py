import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.lsp.documents.applied_edit import AppliedEdit
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session.tracked_ranges import TrackedRanges

URI = "file:///project/app.py"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (AppliedEdit(0, "-" * 0, "+" * 5), (15, 17)),  # a line above
        (AppliedEdit(2, "-" * 7, "+" * 0), (3, 5)),
        (AppliedEdit(10, "-" * 0, "+" * 3), (10, 15)),  # typed at the start
        (AppliedEdit(12, "-" * 0, "+" * 3), (10, 15)),  # typed at the end
        (AppliedEdit(10, "-" * 2, "+" * 0), (10, 10)),  # all of it deleted
        (AppliedEdit(13, "-" * 7, "+" * 1), (10, 12)),  # behind it
        (AppliedEdit(9, "-" * 1, "+" * 0), None),  # the character before it
        (AppliedEdit(12, "-" * 1, "+" * 0), None),  # the character after it
        (AppliedEdit(11, "-" * 9, "+" * 4), None),
        (AppliedEdit(0, "-" * 99, "+" * 0), None),
    ],
)
def test_range_follows_an_edit_or_is_lost(edit: AppliedEdit, expected: tuple[int, int] | None) -> None:
    ranges = TrackedRanges()
    tracked = ranges.track(URI, 10, 12)
    ranges.on_edit(URI, edit)
    assert (None if tracked.is_lost else (tracked.start, tracked.end)) == expected


@given(st.data())
def test_range_that_is_not_lost_lies_between_its_neighbours(data: st.DataObject) -> None:
    documents, ranges = Documents(), TrackedRanges()
    documents.edit_listeners.append(ranges.on_edit)
    documents.open(URI, "python", 0, "pqr" + "ii" + "stu")
    tracked = ranges.track(URI, 3, 5)
    for version in range(1, data.draw(st.integers(1, 6)) + 1):
        text = documents.get(URI).text
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 2, len(text))))
        typed = data.draw(st.text("wx", max_size=3))
        is_whole = data.draw(st.booleans())  # a client that always sends the whole text
        edit = Edit(typed, Position(0, start), Position(0, end))
        documents.change(URI, version, [Edit(text[:start] + typed + text[end:]) if is_whole else edit])
        if tracked.is_lost:
            return
    text = documents.get(URI).text
    assert text[tracked.start - 1] == "r"
    assert text[tracked.end] == "s"
    assert set(text[tracked.start : tracked.end]) <= set("iwx")


def test_typed_text_is_found_after_edits_elsewhere() -> None:
    documents, ranges = Documents(), TrackedRanges()
    documents.edit_listeners.append(ranges.on_edit)
    documents.open(URI, "python", 0, "x = \ny = 1\n")
    tracked = ranges.track(URI, 4, 4)
    for version, (line, column, typed) in enumerate([(0, 4, "a"), (0, 0, "import a\n"), (1, 5, "b"), (2, 0, "z")], 1):
        documents.change(URI, version, [Edit(typed, Position(line, column), Position(line, column))])
    assert documents.get(URI).text[tracked.start : tracked.end] == "ab"
    documents.open(URI, "python", 9, "import a\nx = abc\nzy = 1\n")  # the editor resynchronizes
    assert documents.get(URI).text[tracked.start : tracked.end] == "abc"


def test_ranges_of_a_closed_or_dropped_document_are_lost() -> None:
    ranges = TrackedRanges()
    closed, dropped = ranges.track(URI, 1, 2), ranges.track("file:///other", 1, 2)
    ranges.discard(URI)
    ranges.on_edit("file:///other", None)
    assert (closed.is_lost, dropped.is_lost) == (True, True)


def test_unreferenced_range_is_forgotten() -> None:
    ranges = TrackedRanges()
    kept = ranges.track(URI, 1, 2)
    ranges.track(URI, 3, 4)
    gc.collect()
    assert list(ranges._by_uri[URI][0]) == [kept]


def test_ranges_are_right_after_more_edits_than_are_noted() -> None:
    ranges = TrackedRanges()
    early = ranges.track(URI, 10, 12)
    late = None
    for number in range(5_000):
        ranges.on_edit(URI, AppliedEdit(0, "", "a"))
        if number == 2_999:
            late = ranges.track(URI, 20, 22)
    assert (early.start, early.end) == (5_010, 5_012)
    assert late is not None
    assert (late.start, late.end) == (2_020, 2_022)


def test_edits_before_a_range_was_tracked_do_not_move_it() -> None:
    ranges = TrackedRanges()
    kept = ranges.track(URI, 1, 2)
    ranges.on_edit(URI, AppliedEdit(0, "", "abc"))
    tracked = ranges.track(URI, 5, 7)
    assert (tracked.start, tracked.end, kept.start) == (5, 7, 4)
