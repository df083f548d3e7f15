from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import ScriptedEngine
from starcoder_ls.context.source_files import Source
from starcoder_ls.generation import Phase
from starcoder_ls.learning import corpus, explanations, tokenizer_training
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import validate

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


def test_pair_has_the_dedented_function_without_its_docstring() -> None:
    pairs = {pair.name: pair for pair in explanations.extract_pairs(FILE)}
    assert set(pairs) == {"size", "load", "inner"}
    assert pairs["size"].code == "def size(self):\n    return len(self._rows)"
    assert pairs["size"].sentence == "Number of rows that are kept."
    assert pairs["load"].sentence == "Read path into memory, e.g. at start."
    assert pairs["load"].code.startswith("async def load(self, path: str,\n")
    assert "Read" not in pairs["load"].code
    for pair in pairs.values():
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
def test_first_sentence_is_plain_english_or_none(docstring: str, sentence: str | None) -> None:
    assert explanations.first_sentence(docstring) == sentence


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\x00'", "", "def f():\n    'only a docstring of a few words'\n"])
def test_file_without_usable_functions_has_no_pairs(text: str) -> None:
    assert list(explanations.extract_pairs(text)) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("read_all", "read all"), ("readAll", "read all"), ("__init__", "init"), ("HTTPServer", "httpserver")],
)
def test_identifier_is_split_into_words(name: str, words: str) -> None:
    assert explanations.split_identifier(name) == words


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("aB .`:~!?\n(),é"), max_size=80))
def test_first_sentence_of_any_docstring_is_one_line_or_none(docstring: str) -> None:
    sentence = explanations.first_sentence(docstring) if docstring.strip() else None
    assert sentence is None or (sentence[-1] in ".!?" and sentence.isascii() and "\n" not in sentence)


def test_prompt_equals_the_servers_prompt_for_the_action() -> None:
    """An adapter trained on other prompts would not follow the server's."""
    engine = ScriptedEngine(adapters=["explain"])
    is_ready = threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    assert is_ready.wait(300)
    code = "def f(x):\n    return x + 1"
    chosen = validate({"adapters": {"explain": {"path": "x"}}}, "a test")
    try:
        for action in ("explain", "document"):
            target = Target(code, 0, len(code), "python", "f.py", is_function=True)
            who = perform_action.require_route(chosen, ["explain"], action, target)
            prepared = perform_action.prepare_action(chosen, engine, action, target, who)
            assert prepared.prompt.request.parts == (explanations.build_prompt(code, action),)
    finally:
        engine.close()


def test_sampled_pairs_have_distinct_sentences_and_depend_on_the_seed(tmp_path: Path) -> None:
    files = [
        Source("p", f"p/{n}.py", FILE + f'\n\ndef own_{n}(a):\n    """Do thing {n} well."""\n    return a\n')
        for n in range(9)
    ]
    tokenizer = tokenizer_training.train_tokenizer([source.text for source in files], 400)
    tokenizer_training.save_tokenizer(tokenizer, tmp_path)
    corpus.write_corpus(tmp_path, tokenizer, files, [])
    data = corpus.Corpus(tmp_path)
    all_pairs = explanations.sample_pairs(data, 100, 0)
    assert len({pair.sentence for pair in all_pairs}) == len(all_pairs) == 3 + 9
    assert (
        explanations.sample_pairs(data, 5, 1)
        == explanations.sample_pairs(data, 5, 1)
        != explanations.sample_pairs(data, 5, 2)
    )
