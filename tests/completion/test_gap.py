from starcoder_ls.completion.gap import Gap, has_words


def test_lines_around_the_cursor() -> None:
    gap = Gap.at("a\n\n  b = ", "c  \n\nd\n", "python")
    assert (gap.own, gap.rest, gap.above, gap.below) == ("  b = ", "c", ["a"], ["d"])
    assert not gap.is_fresh


def test_unit_of_indentation_is_the_document_s() -> None:
    assert Gap("def f():\n  a\n  if b:\n    c\n", "").unit == "  "
    assert Gap("func f() {\n\ta\n\tb\n", "").unit == "\t"
    assert Gap("", "").unit == " " * 4


def test_depth_counts_a_tab_as_a_step() -> None:
    assert Gap("func f() {\n\ta\n", "").depth("\t\tx") == Gap("func f() {\n\ta\n", "").depth("        x")


def test_comment_that_began_above_what_the_model_saw_is_known() -> None:
    assert Gap.at("more of it ", "\n", "c", above="/* It says\n").spot.where == "comment"


def test_bracket_of_the_cursor_s_line_is_owed_unless_something_below_closes_it() -> None:
    assert Gap.at("f(", "\ng()\n", "python").owed == "("
    assert Gap.at("f(", "\n    1,\n)\n", "python").owed == ""
    assert Gap.at("f(", ")\n", "python").owed == ""


def test_words_are_letters_and_digits() -> None:
    assert has_words("x")
    assert not has_words("--- {")
