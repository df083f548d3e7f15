"""What functions do, in their authors' words: pairs of a function without its docstring and that docstring's first
sentence, to teach an adapter to explain.

Decides how they are asked for: as the built-in actions ask. Refuses to know tokens and models.
"""

from __future__ import annotations

import ast
import random
import re
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from starcoder_ls.actions import BUILT_IN
from starcoder_ls.learning.corpus import Corpus
from starcoder_ls.settings import TEMPLATE

_MOST_LINES = 60
_MOST_CHARS = 1_800
_WORDS = range(3, 26)
_MOST_SENTENCE_CHARS = 160

_ROLE = re.compile(r":[\w:+.-]+:`(?:[^`<]*<)?[~!.]?(?:[\w]+\.)*([^`>]+)>?`")  # :class:`~a.b.C` -> C
_QUOTES = re.compile(r"`{1,2}([^`]*)`{1,2}_{0,2}")
_SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|resp|approx|no|fig|eq)\.$", re.IGNORECASE)
_WORTHLESS = re.compile(r"^(?:see|todo|fixme|deprecated|test|same as|alias|internal|private|overrid|helper)\b", re.I)
_PARAMETER = re.compile(r"[:@]\w+\b.*:|>>>|\.\. |https?:|\{|\}|%s|\\")


@dataclass(frozen=True, slots=True)
class Pair:
    """``code`` is dedented and has no docstring; ``sentence`` ends with its own full stop."""

    name: str
    code: str
    sentence: str


def question(code: str, action: str = "explain") -> str:
    """The prompt of a built-in action about ``code``, as the server would put it for Python."""
    instruction = BUILT_IN[action]["instruction"].format(language="Python")
    return TEMPLATE.replace("{question}", f"{instruction}\n{code}")


def pairs(text: str) -> Iterator[Pair]:
    """Of every function and method with a usable docstring in the Python file ``text``; none if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes in strings
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
            continue
        said = ast.get_docstring(node)
        sentence = first_sentence(said) if said else None
        code = _without_docstring(node, lines)
        if sentence and code and not _repeats_name(sentence, node.name):
            yield Pair(node.name, code, sentence)


def first_sentence(docstring: str) -> str | None:
    """The first sentence as plain words, or None where it says nothing of use."""
    paragraph = docstring.strip().split("\n\n")[0]
    flat = _QUOTES.sub(r"\1", _ROLE.sub(r"\1", " ".join(paragraph.split())))
    sentence = ""
    for piece in _SENTENCE.finditer(flat):
        sentence += (" " if sentence else "") + piece.group(1).strip()
        if not _ABBREVIATED.search(sentence):
            break
    sentence = sentence or flat
    if sentence[-1:] not in ".!?":
        sentence += "."
    is_plain = sentence.isascii() and sentence[:1].isalpha() and not _PARAMETER.search(sentence)
    is_sized = len(sentence.split()) in _WORDS and len(sentence) <= _MOST_SENTENCE_CHARS
    return sentence[0].upper() + sentence[1:] if is_plain and is_sized and not _WORTHLESS.match(sentence) else None


def drawn(data: Corpus, most: int, seed: int) -> list[Pair]:
    """Up to ``most`` pairs of a corpus, evenly from its documents; no two with the same sentence."""
    found = {pair.sentence: pair for source in data.sources() for pair in pairs(source.text)}
    return random.Random(seed).sample(list(found.values()), min(most, len(found)))


def words_of(name: str) -> str:
    """An identifier as words: the explanation that needs no model."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name.replace("_", " "))
    return " ".join(spaced.lower().split())


def _without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str | None:
    docstring, last = node.body[0], node.end_lineno or node.lineno
    if docstring.lineno == node.body[1].lineno or (docstring.end_lineno or 0) >= node.body[1].lineno:
        return None
    kept = [*lines[node.lineno - 1 : docstring.lineno - 1], *lines[docstring.end_lineno : last]]
    code = textwrap.dedent("".join(kept)).strip("\n")
    return (
        code
        if code.count("\n") < _MOST_LINES and len(code) <= _MOST_CHARS and code.startswith(("def", "async"))
        else None
    )


def _repeats_name(sentence: str, name: str) -> bool:
    """It says no more than the name does."""
    said = set(re.findall(r"[a-z]+", sentence.lower())) - {"the", "a", "an", "of", "to", "for", "in", "this", "s"}
    return said <= set(words_of(name).split())
