"""Which part of a document the model sees around a cursor.

The window's start moves rarely and in large steps, so that what the engine has read of it stays valid while the
user types. Refuses to know prompts and models; it is given a token counter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

_CHARS_PER_TOKEN = 3.3  # StarCoder's vocabulary on Python (HumanEval); the first guess, then counted
_STEPS = 5  # possible starts lie a fifth of the whole budget apart
_FINEST_STEP_CHARS = 16
_SHRINK = 0.8


@dataclass(frozen=True, slots=True)
class Window:
    """Offsets into the document: the model sees ``start`` .. cursor and cursor .. ``end``."""

    start: int
    end: int
    prefix: str
    suffix: str


def around(text: str, offset: int, max_tokens: int, suffix_share: float, count: Callable[[str], int]) -> Window:
    """The largest anchored window of at most ``max_tokens`` tokens; unused room of one side goes to the other."""
    count = functools.cache(count)  # the same pieces are asked about more than once, and counting is tokenizing
    suffix_tokens = int(max_tokens * suffix_share)
    end = _end(text, offset, suffix_tokens, count)
    used = count(text[offset:end])
    quarter = max(suffix_tokens // 4, 1)  # rounded, so that a change below the cursor seldom moves the start above it
    reserved = min(-(-used // quarter) * quarter, max_tokens)
    step_chars = max(int(max_tokens * _CHARS_PER_TOKEN / _STEPS), 1)
    start = _start(text, offset, max_tokens - reserved, step_chars, count)
    left = max_tokens - used - count(text[start:offset])
    if end < len(text) and start == 0 and left > suffix_tokens // 2:
        end = _end(text, offset, used + left, count)
    return Window(start, end, text[start:offset], text[offset:end])


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
