from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.anchor import Anchor, CursorText

TEXT = st.text("ab(\n ", max_size=12)


@given(TEXT, TEXT, st.text("ab()\n ", max_size=8), st.data())
def test_typing_any_beginning_of_what_was_said_is_seen_as_that(
    before: str, after: str, said: str, data: st.DataObject
) -> None:
    chars = data.draw(st.integers(0, len(said)))
    place = Anchor(before, CursorText.at(after, 0).rest, is_first=True, is_last=True)
    text = before + said[:chars] + after
    typed = place.typed(CursorText.at(text, len(before) + chars), said)
    assert typed == chars


@given(TEXT, st.text("ab\n ", max_size=12), st.integers(0, 30), st.sampled_from("ab\n"))
def test_an_edit_in_what_was_seen_makes_it_another_place(before: str, after: str, at: int, char: str) -> None:
    place = Anchor(before, after, is_first=True, is_last=True)
    text, at = before + after, min(at, len(before + after))
    edited = text[:at] + char + text[at:]
    offset = len(before) + (at < len(before))
    here = CursorText(edited[:offset], edited[offset:])
    assert place.typed(here, "") == (0 if (here.head, here.rest) == (before, after) else None)


def test_text_outside_of_what_was_seen_may_change() -> None:
    place = Anchor("x = ", "\ny\n")
    assert place.typed(CursorText.at("import os\nx = 1\ny\nz\n", 15), "12") == 1


def test_bracket_that_the_editor_closed_is_no_change() -> None:
    place = Anchor("x = ", "\n", is_first=True, is_last=True)
    assert place.typed(CursorText.at("x = f()\n", 6), "f(a)") == 2
    assert place.typed(CursorText.at("x = f(a)\n", 8), "f(a)") == 4


def test_carriage_returns_are_line_feeds() -> None:
    place = Anchor("a\nx = ", "\nb", is_first=True, is_last=True)
    assert place.typed(CursorText.at("a\r\nx = 1\r\nb", 8), "1") == 1
