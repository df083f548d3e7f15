from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import indentation


def test_indent_characters_become_those_of_the_document() -> None:
    tabs, blanks = InsertionPoint("f {\n\ta\n\t", ""), InsertionPoint("f:\n  a\n  ", "")
    assert indentation.convert_indent_characters("x(\n        y\n    )", tabs) == "x(\n\t\ty\n\t)"
    assert indentation.convert_indent_characters("x(\n\t\ty\n\t)", blanks) == "x(\n    y\n  )"
    assert indentation.convert_indent_characters("x(\n\ty\n)", tabs) == "x(\n\ty\n)"


def test_indentation_before_the_cursor_is_not_repeated() -> None:
    point = InsertionPoint.at("def f():\n    a = 1\n    ", "", "python")
    assert indentation.match_indentation("    b = 2\n        c = 3", point) == "b = 2\n    c = 3"


def test_body_is_indented_if_the_cursor_is_not() -> None:
    assert indentation.match_indentation("return 1", InsertionPoint.at("def f():\n", "", "python")) == "    return 1"


def test_blank_before_the_rest_of_the_line_stays() -> None:
    assert indentation.strip_trailing_blanks("a + ", InsertionPoint("total = ", "b")) == "a + "
    assert indentation.strip_trailing_blanks("a  \nb \n\n", InsertionPoint("", "")) == "a\nb"
