from __future__ import annotations

import re

import pytest

from starcoder_ls.evaluation.python_scopes import PythonScopes, position_of

CASES = {
    "function": ("def «f»(a):\n    return [[f]](a)\nx = [[f]]\n", "f"),
    "parameter and keyword": ("def f(«n», m):\n    return [[n]], m\ndef g(n):\n    return n\nf([[n]]=1)\n", "n"),
    "method": ("class C:\n    def «m»(self):\n        return self.[[m]](), x.m()\nC.[[m]]\n", "m"),
    "attribute": ("class C:\n    def __init__(self):\n        self.«a» = 1\n        self.[[a]] += o.a\n", "a"),
    "comprehension": ("r = [[[y]] for «y» in y]\n", "y"),
    "class": ("class «C»:\n    def m(self) -> [[C]]:\n        return [[C]]()\n", "C"),
}


@pytest.mark.parametrize(("marked", "name"), CASES.values(), ids=CASES)
def test_positions_of_a_symbol_are_those_of_its_scope(marked: str, name: str) -> None:
    text = _plain(marked)
    scopes = PythonScopes(text)
    definition, expected = _positions(marked)
    symbol = next(each for each in scopes.renamable() if position_of(each, scopes.lines) == definition)
    assert symbol.name == name
    assert symbol.positions == {definition, *expected}


def _plain(marked: str) -> str:
    return re.sub(r"\[\[(\w+)\]\]", r"\1", re.sub("[«»]", "", marked))


def _positions(marked: str) -> tuple[tuple[int, int], set[tuple[int, int]]]:
    """Line and column of the name in ``«»``, and of those in double brackets."""
    found: dict[str, set[tuple[int, int]]] = {"«": set(), "[[": set()}
    for number, line in enumerate(marked.split("\n"), 1):
        for match in re.finditer(r"«(\w+)»|\[\[(\w+)\]\]", line):
            mark = "«" if match[1] else "[["
            found[mark].add((number, len(_plain(line[: match.start()]))))
    return next(iter(found["«"])), found["[["]


def test_name_of_an_import_or_a_global_statement_is_not_renamed() -> None:
    text = "import a\nb = 1\ndef f():\n    global b\n    b = a\nprint(a, b)\n"
    assert [symbol.name for symbol in PythonScopes(text).renamable()] == []


def test_members_of_other_objects_are_counted() -> None:
    text = "class C:\n    def m(self):\n        return self.m(), x.m(), y.m()\n"
    scopes = PythonScopes(text)
    (symbol,) = scopes.renamable()
    assert scopes.members_elsewhere(symbol) == 2


def test_invalid_file_raises_an_error() -> None:
    with pytest.raises(SyntaxError):
        PythonScopes("def f(:\n")
