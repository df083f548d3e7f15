import pytest

from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.settings import InlineCompletion


def test_document_is_divided_once_without_the_closers() -> None:
    cursor = Cursor("f(a)\r\nb", 3)
    assert cursor.divided == CursorText("f(a", "\nb", ")")
    assert cursor.divided is cursor.divided


def test_insertion_point_knows_the_text_above_the_window() -> None:
    text = "/* It says\r\nmore of it "
    point = Cursor(text, len(text), "c").insertion_point("more of it ", "", InlineCompletion(rules_off=("statement",)))
    assert point.syntax.region == "comment"
    assert point.disabled_rules == {"statement"}


def test_region_is_that_of_the_cursor_inside_auto_closed_quotes() -> None:
    for before, after, region in (("x = ", "", "code"), ("# a ", "\n", "comment"), ('x = "a ', '"\n', "string")):
        assert Cursor(before + after, len(before), "python").region == region


def test_notebook_shown_as_a_script_has_the_name_of_a_script_in_the_prompt() -> None:
    assert Cursor("x = 1\n", 0, "python", "work/analysis.ipynb").shown_path == "work/analysis.py"
    assert Cursor("x = 1\n", 0, "python", "work/analysis.py").shown_path == "work/analysis.py"


@pytest.mark.parametrize(
    ("path", "folder", "shown"),
    [
        ("/home/alice/shop/src/orders/total.py", "/home/alice/shop", "src/orders/total.py"),
        ("/home/alice/total.py", "", "total.py"),
        ("/home/alice/shop-2/total.py", "/home/alice/shop", "total.py"),
        ("src/total.py", "", "src/total.py"),
        ("", "/home/alice/shop", ""),
    ],
)
def test_path_in_the_prompt_names_no_folder_above_the_workspace(path: str, folder: str, shown: str) -> None:
    assert Cursor("x = 1\n", 0, "python", path, folder=folder).shown_path == shown
