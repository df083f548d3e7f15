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


def test_python_lines_exclude_comments_and_docstrings() -> None:
    assert texts(PYTHON, boundaries.find_boundaries(PYTHON, "python").lines) == [
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


def test_python_blocks_are_bodies_without_docstrings() -> None:
    blocks = texts(PYTHON, boundaries.find_boundaries(PYTHON, "python").blocks)
    assert len(blocks) == 3
    class_body, label, branch = blocks
    assert class_body.startswith("def label(self, price):")
    assert class_body.endswith("return self.name")
    assert label.startswith("name = self.name")
    assert label.endswith("return name")
    assert branch == 'price = -price\n            return "free"'


def test_python_block_begins_with_the_decorator() -> None:
    text = "if fast:\n    @cached\n    def label():\n        return 1\n"
    assert texts(text, boundaries.find_boundaries(text, "python").blocks) == [
        "@cached\n    def label():\n        return 1"
    ]


def test_python_code_excludes_comments_and_docstrings() -> None:
    code = "".join(texts(PYTHON, boundaries.find_boundaries(PYTHON, "python").code))
    assert "länge = 3" in code
    for prose in ("no hole begins", "why it is needed", "Sells things", "not code", "a comment"):
        assert prose not in code


def test_other_languages_use_indentation_and_comment_marks() -> None:
    result = boundaries.find_boundaries(JAVASCRIPT, "javascript")
    assert texts(JAVASCRIPT, result.lines) == [
        "import { price } from './price.js';",
        "function label(item) {",
        "const name = item.name;",
        "if (name) {",
        "return name + price(item);",
        "const list = [",
    ]
    assert texts(JAVASCRIPT, result.blocks) == [
        "const name = item.name;\n\n  if (name) {\n    return name + price(item);\n  }"
    ]
    assert "not code" not in "".join(texts(JAVASCRIPT, result.code))


def test_invalid_python_uses_indentation() -> None:
    broken = "def first(:\n    value = 1\n    return value\n"
    result = boundaries.find_boundaries(broken, "python")
    assert texts(broken, result.blocks) == ["value = 1\n    return value"]
    assert len(result.lines) == 3


@pytest.mark.parametrize("language", ["python", "go"])
@pytest.mark.parametrize(
    "text", ["", "\n", "\n\n  \n", "x", "}\n", "\t", "a = '\\\n", "\f\nvalue = 1\n", "# only\n# words"]
)
def test_boundaries_lie_within_any_text(text: str, language: str) -> None:
    result = boundaries.find_boundaries(text, language)
    for begin, end in (*result.lines, *result.blocks, *result.code):
        assert 0 <= begin < end <= len(text)


def test_block_has_two_to_twelve_lines() -> None:
    long = "def f():\n" + "".join(f"    value_{i} = {i}\n" for i in range(13))
    assert boundaries.find_boundaries(long, "python").blocks == ()
    assert boundaries.find_boundaries(long, "ruby").blocks == ()
    assert boundaries.find_boundaries("def f():\n    return value\n", "python").blocks == ()


def test_block_of_comments_only_is_not_a_block() -> None:
    text = "function f() {\n  // words and words\n  // and words\n}\n"
    assert boundaries.find_boundaries(text, "javascript").blocks == ()
