from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.cursor import Cursor


def test_document_is_divided_once_without_the_closers() -> None:
    cursor = Cursor("f(a)\r\nb", 3)
    assert cursor.divided == CursorText("f(a", "\nb", ")")
    assert cursor.divided is cursor.divided


def test_insertion_point_knows_the_text_above_the_window() -> None:
    text = "/* It says\r\nmore of it "
    point = Cursor(text, len(text), "c").insertion_point("more of it ", "", ["statement"])
    assert point.syntax.region == "comment"
    assert point.disabled_rules == {"statement"}
