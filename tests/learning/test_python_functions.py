from __future__ import annotations

import ast

import pytest

from starcoder_ls.learning.python_functions import PythonFile, apply

TEXT = '''import os


@decorated
def price(item, amount=1):
    """Of some."""
    count = amount + 1
    return f"{item}: {count}"


def short(): return 1
'''


def test_functions_have_their_lines_parameters_and_statements() -> None:
    file = PythonFile.parse(TEXT)
    assert file is not None
    (function,) = file.functions()
    assert (function.name, function.first_line, function.end_line) == ("price", 3, 8)
    assert [each.arg for each in function.parameters] == ["item", "amount"]
    assert [type(each) for each in function.statements] == [ast.Assign, ast.Return]
    assert file.source_of(function.statements[0]) == "count = amount + 1"
    start, end = function.line_of(function.statements[0])
    assert TEXT[start:end] == "    count = amount + 1\n"
    assert {"item", "amount", "count", "price"} <= function.names()


def test_parts_of_formatted_strings_are_not_walked() -> None:
    file = PythonFile.parse(TEXT)
    assert file is not None
    (function,) = file.functions()
    names = [node.id for node in function.walk() if isinstance(node, ast.Name)]
    assert "item" not in names
    assert function.has_formatted("item")
    assert not function.has_formatted("amount")


@pytest.mark.parametrize("text", ["def f(:\n", "x = 'ä'\n", "x = 1\r\n", "x = 1\f\n"])
def test_text_whose_positions_are_not_certain_is_not_parsed(text: str) -> None:
    assert PythonFile.parse(text) is None


def test_replacements_are_applied_in_the_order_of_the_text() -> None:
    assert apply("a b c", [(4, 5, "z"), (0, 1, "x"), (1, 1, "!")]) == "x! b z"
