from starcoder_ls.completion.insertion_point import InsertionPoint, has_words


def test_lines_around_the_cursor() -> None:
    point = InsertionPoint.at("a\n\n  b = ", "c  \n\nd\n", "python")
    assert (point.line_before, point.line_after) == ("  b = ", "c")
    assert (point.lines_above, point.lines_below) == (["a"], ["d"])
    assert not point.is_at_line_start


def test_indent_unit_is_that_of_the_document() -> None:
    assert InsertionPoint("def f():\n  a\n  if b:\n    c\n", "").indent_unit == "  "
    assert InsertionPoint("func f() {\n\ta\n\tb\n", "").indent_unit == "\t"
    assert InsertionPoint("", "").indent_unit == " " * 4


def test_indent_width_counts_a_tab_as_one_level() -> None:
    point = InsertionPoint("func f() {\n\ta\n", "")
    assert point.indent_width("\t\tx") == point.indent_width("        x")


def test_comment_that_begins_above_the_window_is_known() -> None:
    assert InsertionPoint.at("more of it ", "\n", "c", whole="/* It says\nmore of it ").syntax.region == "comment"


def test_open_bracket_counts_unless_something_below_closes_it() -> None:
    assert InsertionPoint.at("f(", "\ng()\n", "python").unclosed_brackets == "("
    assert InsertionPoint.at("f(", "\n    1,\n)\n", "python").unclosed_brackets == ""
    assert InsertionPoint.at("f(", ")\n", "python").unclosed_brackets == ""


def test_words_have_letters_or_digits() -> None:
    assert has_words("x")
    assert not has_words("--- {")
