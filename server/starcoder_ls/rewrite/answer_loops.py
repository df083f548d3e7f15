"""Recognises an answer that ends in a loop: text that is repeated, counted up, or grows line by line.

Decides how much of a loop is needed. Tests may well count to a hundred or add element after element, so that more is
needed of what counts or grows than of what is repeated, unless the answer was cut at its limit.
"""

from __future__ import annotations

import re

_MIN_REPETITIONS, _MIN_REPEATED_CHARS = 8, 120  # both must be reached
_MIN_COUNTS, _MIN_COUNTED_CHARS = 24, 500  # likewise; numbers from 1 to 100 are no loop
_MIN_GROWN_LINES, _MIN_GROWN_LINES_IF_CUT = 12, 8
_MAX_LINE_DISTANCE = 4
"""A line may grow from one so many lines before it: other lines of a test are between them."""
_SHOWN_LINES = 3
_SEARCHED_CHARS = 4000
_NUMBER = re.compile(r"[0-9]+")
_QUOTES = ('"', "'")


def find_loop(answer: str, is_cut: bool = False) -> int | None:
    """The length up to which ``answer`` is worth showing if it ends in a loop of any kind; None if it does not.

    ``is_cut``: it has ended at a limit, not by itself.
    """
    if (repetition := find_repetition(answer)) is not None:
        return repetition
    skipped = max(0, len(answer) - _SEARCHED_CHARS)
    end = answer[skipped:]
    found = find_counting(end, is_cut)
    if found is None:
        found = find_growing_lines(end, is_cut)
    return None if found is None else skipped + found


def find_repetition(answer: str) -> int | None:
    """The length before the loop, with the text once, if ``answer`` ends in a text that is repeated; else None.

    A loop is a text of at most 119 characters that is repeated at least 8 times and over at least 120 characters.
    """
    for length in range(1, _MIN_REPEATED_CHARS):
        times = max(_MIN_REPETITIONS, -(-_MIN_REPEATED_CHARS // length))
        unit = answer[-length:]
        if len(answer) >= length * times and answer.endswith(unit * times):
            start = len(answer) - length * times
            while answer[max(0, start - length) : start] == unit:
                start -= length
            return start + length
    return None


def find_counting(answer: str, is_cut: bool = False) -> int | None:
    """The length before the loop, with the text once, if ``answer`` ends in a text that is repeated with numbers each
    of which rises or falls by the same amount every time, such as ``1, 2, 3``; else None.

    It must be repeated 24 times and over 500 characters; if the answer was cut, as often as any other text.
    """
    min_times, min_chars = (_MIN_REPETITIONS, _MIN_REPEATED_CHARS) if is_cut else (_MIN_COUNTS, _MIN_COUNTED_CHARS)
    counted = answer.rstrip("0123456789")  # the last number may be incomplete
    numbers = list(_NUMBER.finditer(counted))
    pattern = _NUMBER.sub("0", counted)
    for length in range(1, _MIN_REPEATED_CHARS):
        unit = pattern[-length:]
        width = unit.count("0")
        if not width or not pattern.endswith(unit * min_times):
            continue
        times = _count_even_rows([int(number[0]) for number in numbers], width, _count_at_end(pattern, unit))
        start = numbers[-times * width].start()
        if times >= min_times and len(counted) - start >= min_chars:
            second = numbers[(1 - times) * width].start()
            return answer.rfind("\n", start, second) + 1 or second
    return None


def _count_at_end(text: str, unit: str) -> int:
    """How often ``text`` ends in ``unit``."""
    times, end = 0, len(text)
    while end and text[max(0, end - len(unit)) : end] == unit:
        times, end = times + 1, end - len(unit)
    return times


def _count_even_rows(values: list[int], width: int, rows: int) -> int:
    """How many of the last ``rows`` rows of ``width`` values change by the same amounts from each to the next."""
    steps = [
        after - before for before, after in zip(values[-rows * width :], values[-(rows - 1) * width :], strict=False)
    ]
    times = 1
    while times < rows and steps[-times * width :][:width] == steps[-width:]:
        times += 1
    return times


def find_growing_lines(answer: str, is_cut: bool = False) -> int | None:
    """The length up to the third line if ``answer`` ends in lines each of which is the one before with an element more
    in a list, call or string, such as ``f([1])``, ``f([1, 2])``; else None.

    There must be 12 of them, or 8 if the answer was cut. The last line, which may be incomplete, does not count.
    """
    lines, start = list[tuple[str, int]](), 0
    for line in answer.split("\n")[:-1]:
        start += len(line) + 1
        if line.strip():
            lines.append((line, start))
    for distance in range(1, _MAX_LINE_DISTANCE + 1):
        for last in range(len(lines) - 1, max(-1, len(lines) - 1 - distance), -1):
            first = last
            while first >= distance and _is_extended(lines[first - distance][0], lines[first][0]):
                first -= distance
            if 1 + (last - first) // distance >= (_MIN_GROWN_LINES_IF_CUT if is_cut else _MIN_GROWN_LINES):
                return lines[first + (_SHOWN_LINES - 1) * distance][1]
    return None


def _is_extended(line: str, longer: str) -> bool:
    """Whether ``longer`` begins like ``line`` up to the end of a list, call or string, and goes on with it."""
    size = next((size for size, (one, other) in enumerate(zip(line, longer, strict=False)) if one != other), len(line))
    end, more = line[size : size + 1], longer[size : size + 1]
    if end in _QUOTES:
        return more not in ("", *_QUOTES)
    return end in (")", "]", "}") and more in (",", "(", "[", "{")
