from __future__ import annotations

from edited_text import EditedText
from starcoder_ls.next_edit.edit_window import MAX_WINDOW_CHARS, EditWindow, find_window

NUMBERED = "".join(f"line {number}\n" for number in range(1, 61))


def window_of(document: EditedText, cursor: int | None = None) -> EditWindow | None:
    at = document.cursor if cursor is None else cursor
    return find_window(document.text, at, document.history.recent())


def test_window_has_ten_lines_on_each_side() -> None:
    found = find_window(NUMBERED, NUMBERED.index("line 30"), [])
    assert found is not None
    assert found.lines == tuple(f"line {number}" for number in range(20, 41))
    assert found.before == "\n".join(found.lines)
    assert (found.kept, found.beginning) == (0, "")
    assert [NUMBERED[start : start + 7] for start in found.starts] == list(found.lines)
    assert NUMBERED[found.end] == "\n"


def test_window_ends_with_the_document() -> None:
    text = "a\nb\nc"
    for cursor in range(len(text) + 1):
        found = find_window(text, cursor, [])
        assert found is not None
        assert (found.lines, found.end) == (("a", "b", "c"), 5)


def test_edits_up_to_the_newest_are_taken_back_in_the_text_before() -> None:
    document = EditedText("a(n)\nb(n)\nc(n)\nd(n)\n")
    document.replace("c(n)", "c(old)")
    document.cursor = 0
    document.replace("a(n)", "a(k)")
    document.replace("b(n)", "b(k)")
    found = window_of(document)
    assert found is not None
    assert found.before == "a(n)\nb(n)\nc(old)\nd(n)"
    assert (found.beginning, found.rest) == ("a(k)\nb(k)\n", "c(old)\nd(n)")


def test_edit_far_from_the_cursor_leaves_the_window_as_it_is() -> None:
    document = EditedText(NUMBERED)
    document.replace("line 3\n", "row 3\n")
    found = window_of(document, document.text.index("line 40"))
    assert found is not None
    assert found.kept == 0
    assert "row 3" not in found.before


def test_newest_edit_in_the_last_line_leaves_nothing_to_write() -> None:
    document = EditedText("a(n)\nb(n)")
    document.replace("b(n)", "b(k)")
    assert window_of(document) is None


def test_very_long_lines_have_no_window() -> None:
    assert find_window("x" * (MAX_WINDOW_CHARS + 1), 3, []) is None


def test_secrets_are_masked_in_all_texts() -> None:
    secret = "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
    document = EditedText(f'a(n)\ntoken = "{secret}"\nb(n)\nother = "{secret}"\n')
    document.replace("b(n)", "b(k)")
    found = window_of(document)
    assert found is not None
    assert len(found.beginning) + len(found.rest) == len(document.text) - 1
    for text in (found.before, found.beginning, found.rest):
        assert "aB3dE6" not in text


def test_windows_line_ends_are_line_feeds_for_the_model() -> None:
    text = "a(n)\r\nb(n)\r\nc(n)\r\n"
    document = EditedText(text)
    document.replace("a(n)", "a(k)")
    found = window_of(document)
    assert found is not None
    assert (found.before, found.beginning, found.rest) == ("a(n)\nb(n)\nc(n)", "a(k)\n", "b(n)\nc(n)")
    assert found.line_end == "\r\n"
    assert [text[start] for start in found.starts[:3]] == ["a", "b", "c"]
