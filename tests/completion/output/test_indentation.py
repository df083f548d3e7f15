from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import indentation


def test_blanks_become_tabs_and_tabs_blanks_as_the_document_has_it() -> None:
    tabs, blanks = InsertionPoint("f {\n\ta\n\t", ""), InsertionPoint("f:\n  a\n  ", "")
    assert indentation.with_own_tabs("x(\n        y\n    )", tabs) == "x(\n\t\ty\n\t)"
    assert indentation.with_own_tabs("x(\n\t\ty\n\t)", blanks) == "x(\n    y\n  )"
    assert indentation.with_own_tabs("x(\n\ty\n)", tabs) == "x(\n\ty\n)"


def test_first_line_does_not_add_to_the_indentation_that_is_there() -> None:
    gap = InsertionPoint.at("def f():\n    a = 1\n    ", "", "python")
    assert indentation.with_own_indentation("    b = 2\n        c = 3", gap) == "b = 2\n    c = 3"


def test_body_moves_in_where_the_cursor_has_not() -> None:
    assert indentation.with_own_indentation("return 1", InsertionPoint.at("def f():\n", "", "python")) == "    return 1"


def test_blank_before_the_rest_of_the_line_is_meant() -> None:
    assert indentation.without_trailing_blanks("a + ", InsertionPoint("total = ", "b")) == "a + "
    assert indentation.without_trailing_blanks("a  \nb \n\n", InsertionPoint("", "")) == "a\nb"
