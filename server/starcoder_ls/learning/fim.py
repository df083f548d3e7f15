"""Chooses the middles of fill-in-the-middle training examples: at random, or where a user's cursor would be.

Format: bigcode's Megatron-LM ``gpt_dataset.permute`` (PSM, and SPM variant 2), FIM paper arXiv 2207.14255.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from starcoder_ls.completion.prompt import token_healing

_OPENER = re.compile(r"[(\[{=.,:] ?|\breturn |\bimport |\bin ")
_WORD = re.compile(r"\w{3,}")


@dataclass(frozen=True, slots=True)
class Mixture:
    """The shares of each kind of example, from 0 to 1."""

    fim_share: float = 0.8
    """Of all examples, those with a middle; the others are read left to right."""

    spm_share: float = 0.5
    """Of the examples with a middle, those in SPM variant 2; the others are PSM."""

    cursor_share: float = 0.75
    """Of the examples with a middle, those whose middle starts where a user's cursor would be; the other middles are
    between two uniform characters, as StarCoder's."""

    uses_token_healing: bool = True
    """Whether middles at cursors start where the server's prompts end (``completion.prompt.token_healing``): before
    the word that the cursor is in. Uniform middles are not changed."""

    metadata_share: float = 0.2
    """Probability of each of ``<reponame>``, ``<filename>``, ``<gh_stars>``."""


def sample_middle(text: str, rng: random.Random, mixture: Mixture, joins_punctuation: bool = False) -> tuple[int, int]:
    """Start and end offset of the middle. ``joins_punctuation`` is that of the tokenizer's family."""
    if rng.random() < mixture.cursor_share:
        start = _sample_cursor(text, rng)
        end = _sample_middle_end(text, start, rng)
        if mixture.uses_token_healing:
            start = len(token_healing.split_unfinished_word(text[:start], joins_punctuation)[0])
        return start, end
    first, second = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    return first, second


def _sample_cursor(text: str, rng: random.Random) -> int:
    """An offset where users pause: a line's start, after its indentation, after an opener, inside a word, its end, or
    anywhere in the line."""
    anchor = rng.randint(0, max(len(text) - 1, 0))
    line_start = text.rfind("\n", 0, anchor) + 1
    line_end = text.find("\n", anchor)
    line = text[line_start : len(text) if line_end < 0 else line_end]
    kind = rng.random()
    indentation = len(line) - len(line.lstrip())
    if kind < 0.15:
        return line_start
    if kind < 0.35:
        return line_start + indentation
    if kind < 0.60 and (openers := [m.end() for m in _OPENER.finditer(line)]):
        return line_start + rng.choice(openers)
    if kind < 0.80 and (words := [(m.start(), m.end()) for m in _WORD.finditer(line)]):
        first, last = rng.choice(words)
        return line_start + rng.randint(first + 1, last)
    if kind < 0.88:
        return line_start + len(line)
    return line_start + rng.randint(0, len(line))


def _sample_middle_end(text: str, start: int, rng: random.Random) -> int:
    """Where a suggestion at ``start`` would end: mostly with its line, otherwise inside it, some lines below, or with
    the block."""
    line_end = _line_end(text, start)
    if start == line_end and start < len(text):  # at a line's end the suggestion is the next line
        line_end = _line_end(text, start + 1)
    kind = rng.random()
    if kind < 0.08:  # inside the line, up to a closer or a word's end
        stops = [m.end() for m in re.finditer(r"\w+|[)\]}\"']", text[start:line_end])]
        return start + rng.choice(stops) if stops else line_end
    if kind < 0.70:
        return line_end
    if kind < 0.85:
        for _ in range(rng.randint(1, 4)):
            line_end = _line_end(text, min(line_end + 1, len(text)))
        return line_end
    return _block_end(text, start)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _block_end(text: str, start: int) -> int:
    """End of the last line that is indented at least as deep as the cursor's own."""
    line_start = text.rfind("\n", 0, start) + 1
    own = text[line_start : _line_end(text, line_start)]
    depth = len(own) - len(own.lstrip())
    end = _line_end(text, start)
    while end < len(text):
        next_end = _line_end(text, end + 1)
        line = text[end + 1 : next_end]
        if line.strip() and len(line) - len(line.lstrip()) < max(depth, 1):
            break
        end = next_end
    while end > start and text[end - 1] == "\n":  # blank lines after a block are not part of it
        end -= 1
    return max(end, start)
