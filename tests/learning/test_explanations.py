from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import ScriptedEngine
from starcoder_ls.generation import Phase
from starcoder_ls.learning import corpus, explanations, tokenizer_training
from starcoder_ls.learning.sources import Source
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import check

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


def test_a_question_is_what_the_server_asks() -> None:
    """An adapter trained on other words would not know what is wanted."""
    engine = ScriptedEngine(adapters=["explain"])
    is_ready = threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    assert is_ready.wait(10)
    code = "def f(x):\n    return x + 1"
    chosen = check({"adapters": {"explain": {"path": "x"}}}, "a test")
    try:
        for action in ("explain", "document"):
            target = Target(code, 0, len(code), "python", "f.py", is_function=True)
            who = perform_action.require_doer(chosen, ["explain"], action, target)
            prepared = perform_action.prepared(chosen, engine, action, target, who)
            assert prepared.asked.request.parts == (explanations.question(code, action),)
    finally:
        engine.close()


def test_no_sentence_is_drawn_twice_and_the_seed_decides(tmp_path: Path) -> None:
    files = [
        Source("p", f"p/{n}.py", FILE + f'\n\ndef own_{n}(a):\n    """Do thing {n} well."""\n    return a\n')
        for n in range(9)
    ]
    tokenizer = tokenizer_training.trained([source.text for source in files], 400)
    tokenizer_training.save(tokenizer, tmp_path)
    corpus.write(tmp_path, tokenizer, files, [])
    data = corpus.Corpus(tmp_path)
    every = explanations.drawn(data, 100, 0)
    assert len({pair.sentence for pair in every}) == len(every) == 3 + 9
    assert explanations.drawn(data, 5, 1) == explanations.drawn(data, 5, 1) != explanations.drawn(data, 5, 2)
