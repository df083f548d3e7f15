from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.rewrite import edits, text_lines
from starcoder_ls.rewrite.target import Target, selected

ROWS = st.lists(st.sampled_from(["a", "b", "  c", "  d", "", "e = 1"]), max_size=8)


def whole(text: str, language: str = "") -> Target:
    found = selected(text, 0, len(text), language)
    assert found is not None
    return found


@settings(max_examples=400)
@given(ROWS, ROWS, ROWS, ROWS, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_applied_changes_give_the_new_code_and_touch_nothing_else(
    above: list[str], old: list[str], new: list[str], below: list[str], end: str, is_ended: bool
) -> None:
    old, new = ["first", *old, "last"], ["first", *new, "last"]
    text = end.join([*above, *old, *below]) + (end if is_ended else "")
    start = len(end.join(above)) + len(end) * bool(above)
    target = Target(text, start, start + len(end.join(old)))
    changed = edits.applied(text, edits.replaced(target, "\n".join(new)))
    assert changed == text[:start] + end.join(new) + text[target.end :]
    assert not edits.replaced(target, "\n".join(old))


@given(ROWS)
def test_changes_are_in_order_and_apart(new: list[str]) -> None:
    target = whole("first\na\nb\n  c\ne = 1\nlast\n")
    changes = edits.replaced(target, "\n".join(["first", *new, "last"]))
    places = [place for change in changes for place in (change.start, change.end)]
    assert places == sorted(places)


def test_blanks_at_the_end_of_a_line_that_stays_are_left_alone() -> None:
    target = whole("a  \nb\nc\t\n")
    assert edits.replaced(target, "a\nB\nc") == [edits.Change(4, 5, "B")]


@pytest.mark.parametrize(
    ("text", "language", "after"),
    [
        ("def f():\n    pass\nx = 1\n", "python", "def f():\n    pass\n\n\ndef g():\n    pass\nx = 1\n"),
        ("  f() {\r\n  }\r\n", "c", "  f() {\r\n  }\r\n\r\n  def g():\r\n      pass\r\n"),
    ],
)
def test_an_insertion_comes_below_at_the_same_margin(text: str, language: str, after: str) -> None:
    target = selected(text, 0, text.index("x") if "x" in text else len(text), language)
    assert target is not None
    assert edits.applied(text, edits.inserted(target, "def g():\n    pass\n")) == after


def test_broken_python_is_refused_only_where_it_was_whole() -> None:
    target = whole("def f():\n    pass\n", "python")
    with pytest.raises(AnswerUnusable, match="line 1"):
        edits.require_syntax(target, edits.replaced(target, "def f(:\n    pass"))
    edits.require_syntax(target, edits.replaced(target, "def g():\n    pass"))
    broken = whole("def f(:\n    pass\n", "python")
    edits.require_syntax(broken, edits.replaced(broken, "def g(:\n    pass"))
    other = whole("int f() {\n}\n", "c")
    edits.require_syntax(other, edits.replaced(other, "int f( {"))


@pytest.mark.parametrize("text", ["\ufeffx = 1\n", "x = '\\d'\n", "x = 1\r\ny = 2\r\n", ""])
def test_python_with_marks_and_odd_escapes_is_python(text: str) -> None:
    assert edits.syntax_error(text) is None


@pytest.mark.parametrize("text", ["x = \0", "(" * 10_000, "x = \n"])
def test_what_cannot_be_parsed_has_a_line(text: str) -> None:
    assert edits.syntax_error(text) is not None


def test_a_margin_of_text_inside_strings_is_no_margin() -> None:
    text = 'class A:\n    def f(self):\n        return """\nat the margin\n"""\n'
    target = selected(text, text.index("def"), text.index("def"), "python")
    assert target is not None
    rows = "\n".join(text_lines.without_margin(text_lines.split(target.code)))
    assert rows.startswith("    def f") or rows.startswith("def f")
