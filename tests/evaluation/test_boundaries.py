from __future__ import annotations

import pytest

from starcoder_ls.evaluation import boundaries

PYTHON = '''"""A docstring of several
lines: no hole begins here.
"""
import os  # why it is needed
from pathlib import Path

größe = "ä"; länge = 3


@decorated
class Shop:
    """Sells things.

    name = "not code"
    """

    def label(self, price):
        """What a customer sees."""
        # a comment is no code
        name = self.name
        if price > 3:
            return f"{name}: {price}"
        elif price < 0:
            price = -price
            return "free"
        return name

    def short(self): return self.name
'''

JAVASCRIPT = """// Sells things, cheaply
import { price } from './price.js';

/*
 * const old = 'not code';
 */
function label(item) {
  const name = item.name;

  if (name) {
    return name + price(item);
  }
}

const list = [
  1, 2,
];
"""


def texts(text: str, ranges: tuple[tuple[int, int], ...]) -> list[str]:
    return [text[begin:end] for begin, end in ranges]


def test_lines_of_python_are_code_without_comments_and_docstrings() -> None:
    assert texts(PYTHON, boundaries.of(PYTHON, "python").lines) == [
        "from pathlib import Path",
        'größe = "ä"; länge = 3',
        "@decorated",
        "class Shop:",
        "def label(self, price):",
        "name = self.name",
        "if price > 3:",
        'return f"{name}: {price}"',
        "elif price < 0:",
        "price = -price",
        'return "free"',
        "return name",
        "def short(self): return self.name",
    ]


def test_blocks_of_python_are_bodies_without_their_docstring() -> None:
    found = texts(PYTHON, boundaries.of(PYTHON, "python").blocks)
    assert len(found) == 3
    whole, label, branch = found
    assert whole.startswith("def label(self, price):")
    assert whole.endswith("return self.name")
    assert label.startswith("name = self.name")
    assert label.endswith("return name")
    assert branch == 'price = -price\n            return "free"'


def test_a_decorated_body_begins_with_its_decorator() -> None:
    text = "if fast:\n    @cached\n    def label():\n        return 1\n"
    assert texts(text, boundaries.of(text, "python").blocks) == ["@cached\n    def label():\n        return 1"]


def test_spans_of_python_lie_in_code() -> None:
    code = "".join(texts(PYTHON, boundaries.of(PYTHON, "python").code))
    assert "länge = 3" in code
    for prose in ("no hole begins", "why it is needed", "Sells things", "not code", "a comment"):
        assert prose not in code


def test_other_languages_are_cut_by_indentation_and_comment_marks() -> None:
    found = boundaries.of(JAVASCRIPT, "javascript")
    assert texts(JAVASCRIPT, found.lines) == [
        "import { price } from './price.js';",
        "function label(item) {",
        "const name = item.name;",
        "if (name) {",
        "return name + price(item);",
        "const list = [",
    ]
    assert texts(JAVASCRIPT, found.blocks) == [
        "const name = item.name;\n\n  if (name) {\n    return name + price(item);\n  }"
    ]
    assert "not code" not in "".join(texts(JAVASCRIPT, found.code))


def test_python_that_does_not_parse_is_cut_by_the_plain_rule() -> None:
    broken = "def first(:\n    value = 1\n    return value\n"
    found = boundaries.of(broken, "python")
    assert texts(broken, found.blocks) == ["value = 1\n    return value"]
    assert len(found.lines) == 3


@pytest.mark.parametrize("language", ["python", "go"])
@pytest.mark.parametrize(
    "text", ["", "\n", "\n\n  \n", "x", "}\n", "\t", "a = '\\\n", "\f\nvalue = 1\n", "# only\n# words"]
)
def test_any_text_has_ranges_within_itself(text: str, language: str) -> None:
    found = boundaries.of(text, language)
    for begin, end in (*found.lines, *found.blocks, *found.code):
        assert 0 <= begin < end <= len(text)


def test_long_bodies_and_bodies_of_one_line_are_no_block() -> None:
    long = "def f():\n" + "".join(f"    value_{i} = {i}\n" for i in range(13))
    assert boundaries.of(long, "python").blocks == ()
    assert boundaries.of(long, "ruby").blocks == ()
    assert boundaries.of("def f():\n    return value\n", "python").blocks == ()


def test_a_block_that_is_only_words_in_comments_is_not_worth_filling() -> None:
    text = "function f() {\n  // words and words\n  // and words\n}\n"
    assert boundaries.of(text, "javascript").blocks == ()
