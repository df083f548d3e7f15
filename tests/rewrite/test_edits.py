from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.rewrite import edits, text_lines
from starcoder_ls.rewrite.target import Target, find_target

LINES = st.lists(st.sampled_from(["a", "b", "  c", "  d", "", "e = 1"]), max_size=8)


def whole_text(text: str, language: str = "") -> Target:
    found = find_target(text, 0, len(text), language)
    assert found is not None
    return found


@settings(max_examples=150)
@given(LINES, LINES, LINES, LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_replacement_gives_the_new_code_and_changes_nothing_else(
    above: list[str], old: list[str], new: list[str], below: list[str], end: str, ends_with_line_end: bool
) -> None:
    old, new = ["first", *old, "last"], ["first", *new, "last"]
    text = end.join([*above, *old, *below]) + (end if ends_with_line_end else "")
    start = len(end.join(above)) + len(end) * bool(above)
    target = Target(text, start, start + len(end.join(old)))
    changed = edits.apply_changes(text, edits.replace_target(target, "\n".join(new)))
    assert changed == text[:start] + end.join(new) + text[target.end :]
    assert not edits.replace_target(target, "\n".join(old))


@given(LINES)
def test_changes_are_ordered_and_do_not_overlap(new: list[str]) -> None:
    target = whole_text("first\na\nb\n  c\ne = 1\nlast\n")
    changes = edits.replace_target(target, "\n".join(["first", *new, "last"]))
    offsets = [offset for change in changes for offset in (change.start, change.end)]
    assert offsets == sorted(offsets)


def test_trailing_blanks_of_unchanged_lines_are_kept() -> None:
    target = whole_text("a  \nb\nc\t\n")
    assert edits.replace_target(target, "a\nB\nc") == [edits.Change(4, 5, "B")]


@pytest.mark.parametrize(
    ("text", "language", "after"),
    [
        ("def f():\n    pass\nx = 1\n", "python", "def f():\n    pass\n\n\ndef g():\n    pass\nx = 1\n"),
        ("  f() {\r\n  }\r\n", "c", "  f() {\r\n  }\r\n\r\n  def g():\r\n      pass\r\n"),
    ],
)
def test_insertion_goes_below_with_the_same_indentation(text: str, language: str, after: str) -> None:
    target = find_target(text, 0, text.index("x") if "x" in text else len(text), language)
    assert target is not None
    assert edits.apply_changes(text, edits.insert_below(target, "def g():\n    pass\n")) == after


def test_syntax_error_is_rejected_only_in_valid_python() -> None:
    target = whole_text("def f():\n    pass\n", "python")
    with pytest.raises(AnswerUnusable, match="line 1"):
        edits.require_valid_syntax(target, edits.replace_target(target, "def f(:\n    pass"))
    edits.require_valid_syntax(target, edits.replace_target(target, "def g():\n    pass"))
    broken = whole_text("def f(:\n    pass\n", "python")
    edits.require_valid_syntax(broken, edits.replace_target(broken, "def g(:\n    pass"))
    other = whole_text("int f() {\n}\n", "c")
    edits.require_valid_syntax(other, edits.replace_target(other, "int f( {"))


@pytest.mark.parametrize("text", ["\ufeffx = 1\n", "x = '\\d'\n", "x = 1\r\ny = 2\r\n", ""])
def test_valid_python_has_no_syntax_error(text: str) -> None:
    assert edits.find_syntax_error(text) is None


@pytest.mark.parametrize("text", ["x = \0", "(" * 10_000, "x = \n"])
def test_text_that_cannot_be_parsed_has_an_error_line(text: str) -> None:
    assert edits.find_syntax_error(text) is not None


def test_dedent_keeps_text_at_the_margin_inside_a_string() -> None:
    text = 'class A:\n    def f(self):\n        return """\nat the margin\n"""\n'
    target = find_target(text, text.index("def"), text.index("def"), "python")
    assert target is not None
    code = "\n".join(text_lines.dedent(text_lines.split_lines(target.code)))
    assert code.startswith("    def f") or code.startswith("def f")
