"""Which part of a document the model sees around a cursor.

The window's start moves rarely and in large steps, so that what the engine has read of it stays valid while the
user types. Refuses to know prompts and models; it is given a token counter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from starcoder_ls.completion.output import auto_closers

_CHARS_PER_TOKEN = 3.3  # StarCoder's vocabulary on Python (HumanEval); the first guess, then counted
_STEPS = 3  # possible starts lie a third of the whole budget apart: a move costs all, and must be rare
_QUARTERS = 4  # a side that is short gives its room to the other by quarters of the whole
_FINEST_STEP_CHARS = 16
_SHRINK = 0.8


@dataclass(frozen=True, slots=True)
class Window:
    """Offsets into the document: the model sees ``start`` .. cursor, and the suffix up to ``end``.

    ``closers`` stand between cursor and ``suffix``. Where the suffix comes first in the prompt they are kept from the
    model: each one that the editor inserts would move every later token.
    """

    start: int
    end: int
    prefix: str
    suffix: str
    closers: str = ""


def around(text: str, offset: int, max_tokens: int, suffix_share: float, count: Callable[[str], int]) -> Window:
    """The largest anchored window of at most ``max_tokens`` tokens; unused room of one side goes to the other.

    The suffix depends on the prefix by quarters of the budget only, and the start on the suffix likewise: else each
    key would move an end, and all tokens behind it.
    """
    count = functools.cache(count)  # the same pieces are asked about more than once, and counting is tokenizing
    own = auto_closers.right_of(text, offset)
    below = offset + len(own)
    quarter = max(max_tokens // _QUARTERS, 1)
    suffix_tokens = int(max_tokens * suffix_share)
    end = _end(text, below, suffix_tokens, count)
    used = count(text[below:end])
    reserved = suffix_tokens if end < len(text) else min(_rounded_up(used, max(suffix_tokens // 4, 1)), max_tokens)
    step_chars = max(int(max_tokens * _CHARS_PER_TOKEN / _STEPS), 1)
    start = _start(text, offset, max_tokens - reserved, step_chars, count)
    left = max_tokens - _rounded_up(count(text[start:offset]), quarter)
    if end < len(text) and start == 0 and left > suffix_tokens:
        end = _end(text, below, left, count)
    return Window(start, end, text[start:offset], text[below:end], own)


def _rounded_up(tokens: int, step: int) -> int:
    return -(-tokens // step) * step


def _start(text: str, offset: int, budget_tokens: int, step_chars: int, count: Callable[[str], int]) -> int:
    """A line start on a fixed grid from which the text up to the cursor fits the budget and uses at least half of it.

    The grid lies on the document, not on the cursor: typing moves the answer only when it crosses a whole step. Where
    a step of text is more than the budget (Chinese, emoji), the grid is halved until it is not; where a line is, the
    start is inside the line.
    """
    while step_chars >= _FINEST_STEP_CHARS:
        start = _first_fitting(text, offset, budget_tokens, step_chars, count, _line_start_at)
        if start == 0 or count(text[start:offset]) * 2 >= budget_tokens:
            return start
        step_chars //= 2
    return _first_fitting(text, offset, budget_tokens, _FINEST_STEP_CHARS, count, lambda _text, place, _offset: place)


def _first_fitting(
    text: str,
    offset: int,
    budget_tokens: int,
    step_chars: int,
    count: Callable[[str], int],
    place: Callable[[str, int, int], int],
) -> int:
    """The first grid place whose text up to the cursor fits, by bisection: less text is never more tokens (nearly)."""
    at_least = offset - int(budget_tokens * _CHARS_PER_TOKEN * 2)  # no text is that sparse: skip the counting
    low, high = max(0, at_least // step_chars), -(-offset // step_chars)  # at ``high`` nothing is left, which fits
    while low < high:
        middle = (low + high) // 2
        if count(text[place(text, middle * step_chars, offset) : offset]) <= budget_tokens:
            high = middle
        else:
            low = middle + 1
    return place(text, low * step_chars, offset) if low * step_chars < offset else offset


def _line_start_at(text: str, position: int, offset: int) -> int:
    if position == 0:
        return 0
    line_start = text.find("\n", position - 1, offset) + 1
    return line_start or position


def _end(text: str, offset: int, budget_tokens: int, count: Callable[[str], int]) -> int:
    """A line end such that the text from the cursor to it fits the budget."""
    chars = int(budget_tokens * _CHARS_PER_TOKEN)
    while chars > 0:
        end = len(text) if offset + chars >= len(text) else max(text.rfind("\n", offset, offset + chars), offset)
        if end == offset and len(text) > offset + chars:
            end = offset + chars  # one line longer than the budget
        if count(text[offset:end]) <= budget_tokens:
            return end
        chars = int(chars * _SHRINK)
    return offset
