"""Training pairs for an adapter that explains code: a function without its docstring, and the docstring's first
sentence.

The prompts are those of the built-in actions.
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

_MAX_LINES = 60
_MAX_CHARS = 1_800
_SENTENCE_WORDS = range(3, 26)
_MAX_SENTENCE_CHARS = 160

_ROLE = re.compile(r":[\w:+.-]+:`(?:[^`<]*<)?[~!.]?(?:[\w]+\.)*([^`>]+)>?`")  # :class:`~a.b.C` -> C
_QUOTES = re.compile(r"`{1,2}([^`]*)`{1,2}_{0,2}")
_SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|resp|approx|no|fig|eq)\.$", re.IGNORECASE)
_UNINFORMATIVE = re.compile(
    r"^(?:see|todo|fixme|deprecated|test|same as|alias|internal|private|overrid|helper)\b", re.I
)
_NOT_PROSE = re.compile(r"[:@]\w+\b.*:|>>>|\.\. |https?:|\{|\}|%s|\\")


@dataclass(frozen=True, slots=True)
class Pair:
    """``code`` is dedented and has no docstring; ``sentence`` ends with its own full stop."""

    name: str
    code: str
    sentence: str


def build_prompt(code: str, action: str = "explain") -> str:
    """The prompt that the server builds for a built-in action on the Python code ``code``."""
    instruction = BUILT_IN[action]["instruction"].format(language="Python")
    return TEMPLATE.replace("{question}", f"{instruction}\n{code}")


def extract_pairs(text: str) -> Iterator[Pair]:
    """A pair for every function and method with a usable docstring in the Python file ``text``; none if the file
    cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in strings
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
            continue
        docstring = ast.get_docstring(node)
        sentence = first_sentence(docstring) if docstring else None
        code = _remove_docstring(node, lines)
        if sentence and code and not _repeats_name(sentence, node.name):
            yield Pair(node.name, code, sentence)


def first_sentence(docstring: str) -> str | None:
    """The first sentence in plain words; None if it is not English prose of a usable length."""
    paragraph = docstring.strip().split("\n\n")[0]
    flat = _QUOTES.sub(r"\1", _ROLE.sub(r"\1", " ".join(paragraph.split())))
    sentence = ""
    for match in _SENTENCE.finditer(flat):
        sentence += (" " if sentence else "") + match.group(1).strip()
        if not _ABBREVIATION.search(sentence):
            break
    sentence = sentence or flat
    if sentence[-1:] not in ".!?":
        sentence += "."
    is_plain = sentence.isascii() and sentence[:1].isalpha() and not _NOT_PROSE.search(sentence)
    has_usable_length = len(sentence.split()) in _SENTENCE_WORDS and len(sentence) <= _MAX_SENTENCE_CHARS
    if not is_plain or not has_usable_length or _UNINFORMATIVE.match(sentence):
        return None
    return sentence[0].upper() + sentence[1:]


def sample_pairs(data: Corpus, max_pairs: int, seed: int) -> list[Pair]:
    """A random sample of up to ``max_pairs`` pairs of a corpus, no two with the same sentence."""
    by_sentence = {pair.sentence: pair for source in data.sources() for pair in extract_pairs(source.text)}
    return random.Random(seed).sample(list(by_sentence.values()), min(max_pairs, len(by_sentence)))


def split_identifier(name: str) -> str:
    """The words of an identifier, in lower case: a baseline explanation that needs no model."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name.replace("_", " "))
    return " ".join(spaced.lower().split())


def _remove_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str | None:
    """The function's dedented source; None if it is too long or the docstring shares a line with code."""
    docstring, last = node.body[0], node.end_lineno or node.lineno
    if docstring.lineno == node.body[1].lineno or (docstring.end_lineno or 0) >= node.body[1].lineno:
        return None
    remaining = [*lines[node.lineno - 1 : docstring.lineno - 1], *lines[docstring.end_lineno : last]]
    code = textwrap.dedent("".join(remaining)).strip("\n")
    is_usable = code.count("\n") < _MAX_LINES and len(code) <= _MAX_CHARS and code.startswith(("def", "async"))
    return code if is_usable else None


def _repeats_name(sentence: str, name: str) -> bool:
    """Whether the sentence has no words beyond those of the name."""
    words = set(re.findall(r"[a-z]+", sentence.lower())) - {"the", "a", "an", "of", "to", "for", "in", "this", "s"}
    return words <= set(split_identifier(name).split())
