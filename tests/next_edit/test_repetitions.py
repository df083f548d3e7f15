from __future__ import annotations

import pytest

from edited_text import EditedText

CASES = {
    "keyword argument": (
        "a = f(timeout=300)\nb = g(timeout=300)\nc = f(300, size=300)\n",
        "a = f(timeout=600)\nb = g(timeout=600)\nc = f(300, size=300)\n",
        [("300", "600")],
    ),
    "part of a string": (
        "get(url, 'text/plain')\nget(other, 'text/plain')\nput(url, 'text/plain')\n",
        "get(url, 'text/html')\nget(other, 'text/html')\nput(url, 'text/plain')\n",
        [("plain", "html")],
    ),
    "short literals, the second time": (
        "f(n=1)\nf(n=1)\nf(n=1)\nf(m=1)\n",
        "f(n=2)\nf(n=2)\nf(n=2)\nf(m=1)\n",
        [("1", "2"), ("1", "2")],
    ),
    "function, the second time": (
        "print(1)\nprint(2)\nprint(3)\nx = print\n",
        "log.info(1)\nlog.info(2)\nlog.info(3)\nx = print\n",
        [("print", "log.info"), ("print", "log.info")],
    ),
    "member, the second time": (
        "a.size()\na.size()\na.size()\nb.size()\n",
        "a.length()\na.length()\na.length()\nb.size()\n",
        [("size", "length"), ("size", "length")],
    ),
}


@pytest.mark.parametrize(("before", "after", "edits"), CASES.values(), ids=CASES)
def test_repeated_replacement_is_continued(before: str, after: str, edits: list[tuple[str, str]]) -> None:
    document = EditedText(before)
    for index, edit in enumerate(edits):
        document.replace(*edit)
        assert bool(document.proposals()) is (index == len(edits) - 1)
    assert document.accept_all() == after


@pytest.mark.parametrize(
    ("before", "edit"),
    [
        pytest.param("f(n=1)\nf(n=1)\n", ("1", "2"), id="a short number"),
        pytest.param("x = [3000, 3000]\n", ("3000", "4000"), id="nothing names the purpose"),
        pytest.param('"""A long sentence."""\n"""A long sentence."""\n', ("long", "short"), id="docstrings"),
        pytest.param("# some comment\n# some comment\n", ("some", "other"), id="comments"),
        pytest.param("print(1)\nprint(2)\n", ("print", "log.info"), id="one call of another function"),
    ],
)
def test_single_change_that_may_be_an_accident_gives_nothing(before: str, edit: tuple[str, str]) -> None:
    document = EditedText(before)
    document.replace(*edit)
    assert document.proposals() == []
