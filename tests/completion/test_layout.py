from starcoder_ls.completion import layout
from starcoder_ls.completion.gap import Gap


def test_blanks_become_tabs_and_tabs_blanks_as_the_document_has_it() -> None:
    tabs, blanks = Gap("f {\n\ta\n\t", ""), Gap("f:\n  a\n  ", "")
    assert layout.with_own_tabs("x(\n        y\n    )", tabs) == "x(\n\t\ty\n\t)"
    assert layout.with_own_tabs("x(\n\t\ty\n\t)", blanks) == "x(\n    y\n  )"
    assert layout.with_own_tabs("x(\n\ty\n)", tabs) == "x(\n\ty\n)"


def test_first_line_does_not_add_to_the_indentation_that_is_there() -> None:
    gap = Gap.at("def f():\n    a = 1\n    ", "", "python")
    assert layout.with_own_indentation("    b = 2\n        c = 3", gap) == "b = 2\n    c = 3"


def test_body_moves_in_where_the_cursor_has_not() -> None:
    assert layout.with_own_indentation("return 1", Gap.at("def f():\n", "", "python")) == "    return 1"


def test_blank_before_the_rest_of_the_line_is_meant() -> None:
    assert layout.without_trailing_blanks("a + ", Gap("total = ", "b")) == "a + "
    assert layout.without_trailing_blanks("a  \nb \n\n", Gap("", "")) == "a\nb"
