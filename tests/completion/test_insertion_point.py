from starcoder_ls.completion.insertion_point import InsertionPoint, has_words


def test_lines_around_the_cursor() -> None:
    gap = InsertionPoint.at("a\n\n  b = ", "c  \n\nd\n", "python")
    assert (gap.own, gap.rest, gap.above, gap.below) == ("  b = ", "c", ["a"], ["d"])
    assert not gap.is_fresh


def test_unit_of_indentation_is_the_document_s() -> None:
    assert InsertionPoint("def f():\n  a\n  if b:\n    c\n", "").unit == "  "
    assert InsertionPoint("func f() {\n\ta\n\tb\n", "").unit == "\t"
    assert InsertionPoint("", "").unit == " " * 4


def test_depth_counts_a_tab_as_a_step() -> None:
    assert InsertionPoint("func f() {\n\ta\n", "").depth("\t\tx") == InsertionPoint("func f() {\n\ta\n", "").depth(
        "        x"
    )


def test_comment_that_began_above_what_the_model_saw_is_known() -> None:
    assert InsertionPoint.at("more of it ", "\n", "c", above="/* It says\n").spot.region == "comment"


def test_bracket_of_the_cursor_s_line_is_owed_unless_something_below_closes_it() -> None:
    assert InsertionPoint.at("f(", "\ng()\n", "python").remaining_prefix == "("
    assert InsertionPoint.at("f(", "\n    1,\n)\n", "python").remaining_prefix == ""
    assert InsertionPoint.at("f(", ")\n", "python").remaining_prefix == ""


def test_words_are_letters_and_digits() -> None:
    assert has_words("x")
    assert not has_words("--- {")
