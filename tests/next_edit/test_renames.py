from __future__ import annotations

import pytest

from edited_text import EditedText
from starcoder_ls.context.edit_history import MAX_EDITS

CASES = {
    "function": (
        "python",
        "def load(a):\n    return a\n\n\nx = load(1)\ny = [load(load(2))]\nload = 'load'  # load\n",
        "def read(a):\n    return a\n\n\nx = read(1)\ny = [read(read(2))]\nread = 'load'  # load\n",
        ("load", "read"),
    ),
    "parameter and keyword arguments": (
        "python",
        "def f(n, m):\n    return n + m\n\n\ndef g(n):\n    return n\n\n\nf(n=1, m=2)\ng(n=3)\nx.f(n=4)\n",
        "def f(k, m):\n    return k + m\n\n\ndef g(n):\n    return n\n\n\nf(k=1, m=2)\ng(n=3)\nx.f(n=4)\n",
        ("n,", "k,"),
    ),
    "parameter of a constructor": (
        "python",
        "class C:\n    def __init__(self, n):\n        self.n = n\n\n\nC(n=1)\n",
        "class C:\n    def __init__(self, k):\n        self.n = k\n\n\nC(k=1)\n",
        ("n)", "k)"),
    ),
    "attribute": (
        "python",
        "class C:\n    def __init__(self):\n        self.n = 0\n\n    def m(self, o):\n        self.n += o.n\n",
        "class C:\n    def __init__(self):\n        self.k = 0\n\n    def m(self, o):\n        self.k += o.n\n",
        ("self.n", "self.k"),
    ),
    "shorthand": (
        "javascript",
        "const n = 1;\nuse({ n, m: n });\n",
        "const k = 1;\nuse({ n: k, m: k });\n",
        ("n = 1", "k = 1"),
    ),
    "type": (
        "typescript",
        "interface Row { id: number }\nfunction f(row: Row): Row[] { return [row]; }\n",
        "interface Item { id: number }\nfunction f(row: Item): Item[] { return [row]; }\n",
        ("Row", "Item"),
    ),
    "go": (
        "go",
        "package m\n\nfunc run(n int) int { return run(n - 1) }\n",
        "package m\n\nfunc walk(n int) int { return walk(n - 1) }\n",
        ("run", "walk"),
    ),
    "characters of several bytes": (
        "python",
        "naïve = 'ä€😀'\nprint(naïve, 'é', naïve)\n",
        "clever = 'ä€😀'\nprint(clever, 'é', clever)\n",
        ("naïve", "clever"),
    ),
}


@pytest.mark.parametrize(("language", "before", "after", "edit"), CASES.values(), ids=CASES)
def test_renamed_definition_is_followed(language: str, before: str, after: str, edit: tuple[str, str]) -> None:
    document = EditedText(before, language)
    document.replace(*edit)
    assert document.accept_all() == after


@pytest.mark.parametrize(
    ("before", "edit"),
    [
        pytest.param("a = 1\nb = 2\nprint(a, b)\n", ("a = 1", "b = 1"), id="the new name exists"),
        pytest.param("a = 1\nprint(a)\nprint(a)\n", ("print(a)", "print(c)"), id="only a use was changed"),
        pytest.param("a = 1\na = 2\nprint(a)\n", ("a = 2", "c = 2"), id="a later assignment was changed"),
        pytest.param("x.size = 1\ny.size = x.size\n", ("x.size = 1", "x.length = 1"), id="the class is not known"),
        pytest.param("def f(a):\n    return 'a', x.a\n", ("a)", "b)"), id="no reference"),
    ],
)
def test_change_that_may_be_no_rename_gives_nothing(before: str, edit: tuple[str, str]) -> None:
    document = EditedText(before)
    document.replace(*edit)
    assert document.proposals() == []


def test_second_use_that_gets_the_same_new_name_is_a_rename() -> None:
    document = EditedText("def f(a):\n    print(a)\n    print(a)\n    return a\n")
    document.replace("print(a)", "print(size)")
    assert document.proposals() == []
    document.replace("print(a)", "print(size)")
    assert document.accept_all() == "def f(size):\n    print(size)\n    print(size)\n    return size\n"


def test_two_uses_that_become_another_variable_leave_the_definition() -> None:
    document = EditedText("a = 1\nb = 2\nprint(a)\nprint(a)\nprint(a)\n")
    document.replace("(a)", "(b)")
    document.replace("(a)", "(b)")
    assert document.accept_all() == "a = 1\nb = 2\nprint(b)\nprint(b)\nprint(b)\n"


def test_later_binding_that_was_renamed_already_is_no_conflict() -> None:
    document = EditedText("a = 1\na = 2\nprint(a)\n")
    document.replace("a = 2", "b = 2")
    document.replace("a = 1", "b = 1")
    assert document.accept_all() == "b = 1\nb = 2\nprint(b)\n"


def test_rename_of_more_definitions_than_the_history_has_is_followed() -> None:
    code = "@overload\ndef get(a): ...\n" * (MAX_EDITS + 4)
    document = EditedText(code)
    document.replace("get", "read")
    assert document.accept_all() == code.replace("get", "read")
