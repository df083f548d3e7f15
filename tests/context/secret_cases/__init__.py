"""The cases of secrets: names of files and strings, with invented values.

A case in strings.toml writes ``⟨a36⟩`` for 36 random letters and digits, and encloses the secret in « and ».
"""

from __future__ import annotations

import random
import re
import string
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Part = Literal["tuning", "held_out"]

_FOLDER = Path(__file__).parent
_ALPHABETS = {
    "a": string.ascii_letters + string.digits,
    "h": string.digits + "abcdef",
    "u": string.ascii_uppercase + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "d": string.digits,
    "b": string.ascii_letters + string.digits + "+/",
    "w": string.ascii_letters + string.digits + "-_",
}


@dataclass(frozen=True, slots=True)
class StringCase:
    """``secrets`` are the offsets of what must be masked in ``text``; ``source`` is the case as it is in the file."""

    source: str
    text: str
    secrets: tuple[tuple[int, int], ...]


def names(part: Part) -> tuple[list[str], list[str]]:
    """The paths that must be excluded, and those that must not."""
    cases = tomllib.loads((_FOLDER / "names.toml").read_text(encoding="utf-8"))[part]
    return cases["positive"], cases["negative"]


def strings(part: Part) -> tuple[list[StringCase], list[StringCase]]:
    """The texts with secrets, and those that must stay as they are."""
    cases = tomllib.loads((_FOLDER / "strings.toml").read_text(encoding="utf-8"))[part]
    return [_parse(case) for case in cases["positive"]], [_parse(case) for case in cases["negative"]]


def _parse(source: str) -> StringCase:
    generator = random.Random(source)
    expanded = re.sub(r"⟨([a-z])(\d+)⟩", lambda match: _fill(generator, match[1], int(match[2])), source)
    text, spans = "", []
    for piece in re.split("([«»])", expanded):
        if piece == "«":
            spans.append((len(text), 0))
        elif piece == "»":
            spans[-1] = spans[-1][0], len(text)
        else:
            text += piece
    return StringCase(source, text, tuple(spans))


def _fill(generator: random.Random, kind: str, length: int) -> str:
    """Random characters, at least one of each class if there is room."""
    alphabet = _ALPHABETS[kind]
    classes = [[char for char in alphabet if test(char)] for test in (str.isdigit, str.islower, str.isupper)]
    required = [generator.choice(chars) for chars in classes if chars]
    chars = [*required, *generator.choices(alphabet, k=max(0, length - len(required)))][:length]
    generator.shuffle(chars)
    edges = [index for index, char in enumerate(chars) if char.isalnum()]
    if length > 3 and not chars[0].isalnum():  # no token begins with a sign
        chars[0], chars[edges[0]] = chars[edges[0]], chars[0]
    if length > 3 and not chars[-1].isalnum():
        chars[-1], chars[edges[-1]] = chars[edges[-1]], chars[-1]
    return "".join(chars)
