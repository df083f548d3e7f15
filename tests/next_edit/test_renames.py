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
    "exports": (
        "javascript",
        "const n = 1;\nexport { n, n as m };\nexport { n } from './x';\nexport default n;\n",
        "const k = 1;\nexport { k as n, k as m };\nexport { n } from './x';\nexport default k;\n",
        ("n = 1", "k = 1"),
    ),
    "pattern": (
        "javascript",
        "function f({ n, m = n }) { ({ n } = g()); return n + m; }\n",
        "function f({ k, m = k }) { ({ n: k } = g()); return k + m; }\n",
        ("{ n", "{ k"),
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


INNER_SCOPES = {
    "function": ("python", "size = 1\n\n\ndef f():\n    count = 2\n    return size + count\n"),
    "comprehension": ("python", "size = 1\nx = [size * count for count in range(3)]\n"),
    "pattern": ("javascript", "const size = 1;\nfunction f({ count = 2 }) { return size + count; }\n"),
    "parameter": ("javascript", "const size = 1;\nfunction f(count) { return size + count; }\n"),
    "var in a block with let": (
        "javascript",
        "function f() { if (x) { var size = 1; let count = 2; } return size; }\n",
    ),
    "if statement": (
        "go",
        "package m\n\nvar size = 1\n\nfunc f() int {\n\tif count := g(); count > 0 {\n\t\treturn size\n\t}\n}\n",
    ),
    "second binding": (
        "go",
        "package m\n\nvar size = 1\n\nfunc f() int {\n\ta, count := g()\n\tb, count := g()\n\treturn a + b + size\n}\n",
    ),
}


@pytest.mark.parametrize(("language", "before"), INNER_SCOPES.values(), ids=INNER_SCOPES)
def test_new_name_that_an_inner_scope_binds_gives_nothing(language: str, before: str) -> None:
    document = EditedText(before, language)
    document.replace("size = 1", "count = 1")
    assert document.proposals() == []
    document = EditedText(before, language)
    document.replace("size = 1", "total = 1")
    assert document.accept_all() == before.replace("size", "total")


def test_inner_scope_with_the_new_name_but_no_use_is_no_conflict() -> None:
    document = EditedText("class C:\n    size = 1\n\n    def f(self, count):\n        return self.size\n")
    document.replace("size = 1", "count = 1")
    assert document.accept_all() == "class C:\n    count = 1\n\n    def f(self, count):\n        return self.count\n"
    document = EditedText("size = 1\nprint(size)\n\n\ndef f(count):\n    return count\n")
    document.replace("size = 1", "count = 1")
    assert document.accept_all() == "count = 1\nprint(count)\n\n\ndef f(count):\n    return count\n"


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


def test_uses_for_which_the_other_variable_is_not_visible_are_left() -> None:
    code = "a = 1\n\n\ndef f(b):\n    print(a)\n    print(a)\n    print(a)\n\n\ndef g():\n    return a\n"
    document = EditedText(code)
    document.replace("(a)", "(b)")
    document.replace("(a)", "(b)")
    assert document.accept_all() == code.replace("(a)", "(b)")


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
