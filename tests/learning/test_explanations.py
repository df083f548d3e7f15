from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.learning import explanations

FILE = '''
class Store:
    @property
    def size(self):
        """Number of rows that are kept.

        More of it.
        """
        return len(self._rows)

    async def load(self, path: str,
                   retries: int = 3) -> None:
        """Read ``path`` into memory, e.g. at start. Raises OSError."""
        def inner():
            """Do it once more if it failed."""
            return path
        await inner()

    def size_of(self):
        """The size of."""
        return 1

    def bare(self): """Only a docstring here it is."""

    def see(self):
        """See the base class for this."""
        return 2
'''


def test_functions_come_without_their_docstrings_and_dedented() -> None:
    found = {pair.name: pair for pair in explanations.pairs(FILE)}
    assert set(found) == {"size", "load", "inner"}
    assert found["size"].code == "def size(self):\n    return len(self._rows)"
    assert found["size"].sentence == "Number of rows that are kept."
    assert found["load"].sentence == "Read path into memory, e.g. at start."
    assert found["load"].code.startswith("async def load(self, path: str,\n")
    assert "Read" not in found["load"].code
    for pair in found.values():
        ast.parse(pair.code)


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("return the :class:`~a.b.Thing` of *x*", "Return the Thing of *x*."),
        ("Split at\n    the first dot.  Then more.", "Split at the first dot."),
        ("Use this, i.e. the newest one. Not that.", "Use this, i.e. the newest one."),
        ("Short.", None),
        ("See the base class for details.", None),
        (":param x: what it is called here", None),
        ("Übergibt die Werte an den Dienst.", None),
        ("Visit https://example.com for more of this.", None),
        (" ".join(["word"] * 40), None),
    ],
)
def test_the_first_sentence_is_plain_words_or_nothing(docstring: str, sentence: str | None) -> None:
    assert explanations.first_sentence(docstring) == sentence


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\x00'", "", "def f():\n    'only a docstring of a few words'\n"])
def test_what_cannot_be_read_gives_nothing(text: str) -> None:
    assert list(explanations.pairs(text)) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("read_all", "read all"), ("readAll", "read all"), ("__init__", "init"), ("HTTPServer", "httpserver")],
)
def test_a_name_is_split_into_words(name: str, words: str) -> None:
    assert explanations.words_of(name) == words


@given(st.text(alphabet=st.sampled_from("aB .`:~!?\n(),é"), max_size=80))
def test_any_docstring_gives_a_sentence_or_none(docstring: str) -> None:
    sentence = explanations.first_sentence(docstring) if docstring.strip() else None
    assert sentence is None or (sentence[-1] in ".!?" and sentence.isascii() and "\n" not in sentence)
