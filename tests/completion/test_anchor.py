from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.anchor import Anchor, CursorText

TEXT = st.text("ab(\n ", max_size=12)


@given(TEXT, TEXT, st.text("ab()\n ", max_size=8), st.data())
def test_count_typed_finds_every_typed_beginning_of_the_answer(
    before: str, after: str, answer: str, data: st.DataObject
) -> None:
    chars = data.draw(st.integers(0, len(answer)))
    anchor = Anchor(before, CursorText.at(after, 0).after, has_document_start=True, has_document_end=True)
    text = before + answer[:chars] + after
    assert anchor.count_typed(CursorText.at(text, len(before) + chars), answer) == chars


@given(TEXT, st.text("ab\n ", max_size=12), st.integers(0, 30), st.sampled_from("ab\n"))
def test_edit_in_the_seen_text_invalidates_the_anchor(before: str, after: str, index: int, char: str) -> None:
    anchor = Anchor(before, after, has_document_start=True, has_document_end=True)
    text, index = before + after, min(index, len(before + after))
    edited = text[:index] + char + text[index:]
    offset = len(before) + (index < len(before))
    divided = CursorText(edited[:offset], edited[offset:])
    is_unchanged = (divided.before, divided.after) == (before, after)
    assert anchor.count_typed(divided, "") == (0 if is_unchanged else None)


def test_text_outside_the_seen_text_may_change() -> None:
    anchor = Anchor("x = ", "\ny\n")
    assert anchor.count_typed(CursorText.at("import os\nx = 1\ny\nz\n", 15), "12") == 1


def test_closer_inserted_by_the_editor_is_no_change() -> None:
    anchor = Anchor("x = ", "\n", has_document_start=True, has_document_end=True)
    assert anchor.count_typed(CursorText.at("x = f()\n", 6), "f(a)") == 2
    assert anchor.count_typed(CursorText.at("x = f(a)\n", 8), "f(a)") == 4


def test_carriage_returns_match_line_feeds() -> None:
    anchor = Anchor("a\nx = ", "\nb", has_document_start=True, has_document_end=True)
    assert anchor.count_typed(CursorText.at("a\r\nx = 1\r\nb", 8), "1") == 1
