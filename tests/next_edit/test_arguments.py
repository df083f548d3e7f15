from __future__ import annotations

import pytest

from edited_text import EditedText

REMOVED = {
    "positional and keyword": (
        "python",
        "def f(a, b, c=1):\n    return a\n\n\nf(1, 2)\nf(1, 2, 3)\nf(1, c=2, b=3)\nf(*x, 2)\nf(1)\n",
        "def f(a, c=1):\n    return a\n\n\nf(1)\nf(1, 3)\nf(1, c=2)\nf(*x, 2)\nf(1)\n",
        ("b, ", ""),
    ),
    "the last one": (
        "python",
        "def f(a, b):\n    return a\n\n\nf(1, 2)\nf(\n    1,\n    2,\n)\n",
        "def f(a):\n    return a\n\n\nf(1)\nf(\n    1,\n)\n",
        (", b", ""),
    ),
    "the only one": (
        "python",
        "def f(a):\n    return 1\n\n\nf(1)\nf(2,)\nf(\n    3,  # three\n)\nf(\n    # four\n    4,\n)\n",
        "def f():\n    return 1\n\n\nf()\nf()\nf()\nf(\n    # four\n)\n",
        ("(a)", "()"),
    ),
    "with its comment": (
        "python",
        "def f(a, b):\n    return a\n\n\nf(\n    1,  # one\n    2,  # two\n)\nf(1, 2,)\n"
        "f(\n    1,  # one\n    # two\n    2\n)\n",
        "def f(a):\n    return a\n\n\nf(\n    1,  # one\n)\nf(1,)\nf(\n    1,  # one\n    # two\n)\n",
        (", b", ""),
    ),
    "before another with a comment": (
        "go",
        "package m\n\nfunc f(a int, b int) {}\nfunc g() {\n\tf(\n\t\t1, // one\n\t\t// two\n\t\t2,\n\t)\n}\n",
        "package m\n\nfunc f(b int) {}\nfunc g() {\n\tf(\n\t\t// two\n\t\t2,\n\t)\n}\n",
        ("a int, ", ""),
    ),
    "of a method": (
        "python",
        "class C:\n    def m(self, a, b):\n        return self.m(1, 2), C.m(self, 3, 4), x.m(5, 6)\n",
        "class C:\n    def m(self, b):\n        return self.m(2), C.m(self, 4), x.m(5, 6)\n",
        ("a, ", ""),
    ),
    "of a constructor": (
        "python",
        "class C:\n    def __init__(self, a, b):\n        pass\n\n\nC(1, 2)\nC(b=1, a=2)\n",
        "class C:\n    def __init__(self, b):\n        pass\n\n\nC(2)\nC(b=1)\n",
        ("a, ", ""),
    ),
    "typescript": (
        "typescript",
        "function f(a: number, b = 2) {}\nf(1, 2);\nf(3);\n",
        "function f(b = 2) {}\nf(2);\nf();\n",
        ("a: number, ", ""),
    ),
    "go": (
        "go",
        "package m\n\nfunc f(a int, b int) {}\nfunc g() { f(1, 2) }\n",
        "package m\n\nfunc f(b int) {}\nfunc g() { f(2) }\n",
        ("a int, ", ""),
    ),
}


@pytest.mark.parametrize(("language", "before", "after", "edit"), REMOVED.values(), ids=REMOVED)
def test_argument_of_a_removed_parameter_goes(language: str, before: str, after: str, edit: tuple[str, str]) -> None:
    document = EditedText(before, language)
    document.replace(*edit)
    assert document.accept_all() == after


ADDED = {
    "in a file with CRLF": (
        "def f(a):\r\n    return a\r\n\r\n\r\nf(1)\r\nf(\r\n\t3,\r\n)\r\n",
        "def f(a, b):\r\n    return a\r\n\r\n\r\nf(1, b=0)\r\nf(\r\n\t3,\r\n\tb=0,\r\n)\r\n",
        [("(a)", "(a, b)"), ("f(1)", "f(1, b=0)")],
    ),
    "keyword argument": (
        "def f(a):\n    return a\n\n\nf(1)\nf()\nf(a=2)\nf(\n    3,\n)\nf(**x)\n",
        "def f(a, b):\n    return a\n\n\nf(1, b=0)\nf(b=0)\nf(a=2, b=0)\nf(\n    3,\n    b=0,\n)\nf(**x)\n",
        [("(a)", "(a, b)"), ("f(1)", "f(1, b=0)")],
    ),
    "behind commas and comments": (
        "def f(a):\n    return a\n\n\nf(1)\nf(\n    2,  # two\n)\nf(3,)\nf(\n    4  # four\n)\nf(  # none\n)\n",
        "def f(a, b):\n    return a\n\n\nf(1, b=0)\nf(\n    2,  # two\n    b=0,\n)\nf(3, b=0,)\n"
        "f(\n    4,  # four\n    b=0\n)\nf(b=0  # none\n)\n",
        [("(a)", "(a, b)"), ("f(1)", "f(1, b=0)")],
    ),
    "positional argument": (
        "def f(a):\n    return a\n\n\nf(1)\nf(2)\nf()\nf(a=3)\n",
        "def f(log, a):\n    return a\n\n\nf(None, 1)\nf(None, 2)\nf()\nf(a=3)\n",
        [("(a)", "(log, a)"), ("f(1)", "f(None, 1)")],
    ),
    "constructor": (
        "class C:\n    def __init__(self, a):\n        pass\n\n\nC(1)\nC(2)\n",
        "class C:\n    def __init__(self, a, b):\n        pass\n\n\nC(1, 0)\nC(2, 0)\n",
        [("a)", "a, b)"), ("C(1)", "C(1, 0)")],
    ),
    "same argument at two calls, without a new signature": (
        "def f(**k):\n    return k\n\n\nf(a=1)\nf(a=2)\nf(a=3)\n",
        "def f(**k):\n    return k\n\n\nf(a=1, b=0)\nf(a=2, b=0)\nf(a=3, b=0)\n",
        [("f(a=1)", "f(a=1, b=0)"), ("f(a=2)", "f(a=2, b=0)")],
    ),
    "only where its names are visible": (
        "def f(a):\n    return a\n\n\ndef g(log):\n    f(1)\n    f(2)\n\n\nf(3)\n",
        "def f(a, b):\n    return a\n\n\ndef g(log):\n    f(1, log)\n    f(2, log)\n\n\nf(3)\n",
        [("(a)", "(a, b)"), ("f(1)", "f(1, log)")],
    ),
}


@pytest.mark.parametrize(("before", "after", "edits"), ADDED.values(), ids=ADDED)
def test_argument_added_to_one_call_is_added_to_the_others(
    before: str, after: str, edits: list[tuple[str, str]]
) -> None:
    document = EditedText(before)
    for index, edit in enumerate(edits):
        document.replace(*edit)
        assert bool(document.proposals()) is (index == len(edits) - 1)
    assert document.accept_all() == after


@pytest.mark.parametrize(
    ("before", "edits"),
    [
        pytest.param("def f(a):\n    return a\n\n\nf(1)\nf(2)\n", [("f(1)", "f(1, b=0)")], id="one call alone"),
        pytest.param("g(1)\ng(2)\n", [("g(1)", "g(1, 2)"), ("1", "3")], id="a function that is not defined here"),
        pytest.param(
            "def f(a, b):\n    return a\n\n\nf(1, 2)\n", [("f(1, 2)", "f(2)"), ("a, b", "b")], id="an edited call"
        ),
        pytest.param("def f(a, b):\n    pass\n\n\nf(1, 2)\n", [("a, b", "x")], id="several parameters changed"),
    ],
)
def test_call_that_may_be_right_is_left_alone(before: str, edits: list[tuple[str, str]]) -> None:
    document = EditedText(before)
    for edit in edits:
        document.replace(*edit)
    assert document.proposals() == []
