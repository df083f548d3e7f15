"""Which part of a document the model reads around a cursor.

The start of the window moves rarely and in large steps, so that the engine's cached prefix stays valid while the user
types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_CHARS_PER_TOKEN = 3.3  # StarCoder's tokenizer on Python (HumanEval): the first estimate, which counting corrects
_STEPS = 3  # possible starts lie a third of the whole budget apart: a move invalidates the whole cache, so it is rare
_QUARTERS = 4  # a side that is short leaves its budget to the other side in quarters of the whole
_MIN_STEP_CHARS = 16
_SHRINK = 0.8


@dataclass(frozen=True, slots=True)
class Window:
    """The model reads ``prefix``, from ``start`` to the cursor, and ``suffix``, from behind the closers to ``end``.

    ``start`` and ``end`` are offsets into the document. Closers right of the cursor are not part of the suffix: in
    prompts that have the suffix first, each closer that the editor inserts would move every later token.
    """

    start: int
    end: int
    prefix: str
    suffix: str


def fit_window(
    text: str, offset: int, closers: str, max_tokens: int, suffix_share: float, count: Callable[[str], int]
) -> Window:
    """The largest window of at most ``max_tokens`` tokens, as ``count`` counts them; each side may use spare budget.

    ``closers`` are the automatically inserted closers right of the cursor. The suffix depends on the length of the
    prefix in quarters of the budget only, and the start on that of the suffix likewise: else each key would move one
    end, and all tokens after it.
    """
    below = offset + len(closers)
    quarter = max(max_tokens // _QUARTERS, 1)
    suffix_tokens = int(max_tokens * suffix_share)
    end, used = _find_end(text, below, suffix_tokens, count)
    reserved = suffix_tokens if end < len(text) else min(_round_up(used, max(suffix_tokens // 4, 1)), max_tokens)
    step_chars = max(int(max_tokens * _CHARS_PER_TOKEN / _STEPS), 1)
    start, prefix_tokens = _find_start(text, offset, max_tokens - reserved, step_chars, count)
    spare = max_tokens - _round_up(prefix_tokens, quarter)
    if end < len(text) and start == 0 and spare > suffix_tokens:
        end, _ = _find_end(text, below, spare, count)
    return Window(start, end, text[start:offset], text[below:end])


def _round_up(tokens: int, step: int) -> int:
    return -(-tokens // step) * step


def _find_start(
    text: str, offset: int, budget_tokens: int, step_chars: int, count: Callable[[str], int]
) -> tuple[int, int]:
    """A line start on a fixed grid from which the text up to the cursor fits the budget and uses at least half of it;
    and the tokens of that text.

    The grid is fixed to the document, not to the cursor: typing changes the result only when it crosses a whole step.
    Where one step of text exceeds the budget (Chinese, emoji), the grid is halved until it fits; where one line
    exceeds it, the start is inside the line.
    """
    counted: dict[int, int] = {}

    def count_from(start: int) -> int:
        if (tokens := counted.get(start)) is None:
            tokens = counted[start] = count(text[start:offset])
        return tokens

    while step_chars >= _MIN_STEP_CHARS:
        start = _first_fitting(text, offset, budget_tokens, step_chars, count_from, _next_line_start)
        if start == 0 or count_from(start) * 2 >= budget_tokens:
            return start, count_from(start)
        step_chars //= 2
    start = _first_fitting(
        text, offset, budget_tokens, _MIN_STEP_CHARS, count_from, lambda _text, position, _offset: position
    )
    return start, count_from(start)


def _first_fitting(
    text: str,
    offset: int,
    budget_tokens: int,
    step_chars: int,
    count_from: Callable[[int], int],
    snap: Callable[[str, int, int], int],
) -> int:
    """The first grid position, moved by ``snap``, from which the text up to the cursor fits the budget.

    Found by bisection: less text has (nearly) never more tokens.
    """
    minimum = offset - int(budget_tokens * _CHARS_PER_TOKEN * 2)  # no text has fewer tokens: skip counting before it
    low, high = max(0, minimum // step_chars), -(-offset // step_chars)  # at ``high`` no text is left, which fits
    while low < high:
        middle = (low + high) // 2
        if count_from(snap(text, middle * step_chars, offset)) <= budget_tokens:
            high = middle
        else:
            low = middle + 1
    return snap(text, low * step_chars, offset) if low * step_chars < offset else offset


def _next_line_start(text: str, position: int, offset: int) -> int:
    if position == 0:
        return 0
    line_start = text.find("\n", position - 1, offset) + 1
    return line_start or position


def _find_end(text: str, offset: int, budget_tokens: int, count: Callable[[str], int]) -> tuple[int, int]:
    """A line end such that the text from ``offset`` to it fits the budget; and the tokens of that text."""
    chars = int(budget_tokens * _CHARS_PER_TOKEN)
    while chars > 0:
        end = len(text) if offset + chars >= len(text) else max(text.rfind("\n", offset, offset + chars), offset)
        if end == offset and len(text) > offset + chars:
            end = offset + chars  # one line longer than the budget
        if (tokens := count(text[offset:end])) <= budget_tokens:
            return end, tokens
        chars = int(chars * _SHRINK)
    return offset, count("")
