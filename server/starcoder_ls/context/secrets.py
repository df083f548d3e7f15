"""Finds and masks strings that look like secrets.

Decides by published formats, places and names. Linear time for any text; masks keep the length. The rule: text of a
document is masked when it leaves the document, for a prompt, lookup text, a results file or the feedback store; a log
has no text of documents at all.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from starcoder_ls.context.private_keys import MAX_KEY_CHARS, find_private_keys
from starcoder_ls.context.secret_assignments import find_assigned
from starcoder_ls.context.secret_patterns import (
    ALL_CONTEXTS,
    ALL_TOKENS,
    ANY,
    COMMANDS,
    CONTEXTS,
    MAX_MATCHES_PER_LINE,
    TOKENS,
    Shape,
)

MASK = "x"

# Not detect-secrets 1.5.0, which takes 0.6 ms a line, reports most lines of clean code as high entropy, and contains
# code that sends what it finds to web services for verification.
_LINE_CHARS_BEFORE = 200
_COMMAND_CHARS_BEFORE = 400
_MIN_LINE_CHARS = 8
_MAX_CACHED_CHARS, _MAX_CACHED_LINE_CHARS = 40_000, 500
_LONG_LINE_CHARS, _PIECE_CHARS = 32_768, 8_192
_MAX_LINES_IN_DETAIL = 4_000
_MIN_MASK = MASK * 8
_SHORT_MASK = re.compile(MASK * 3)
_LINE_TEXT = re.compile(r"\S(?:[^\r\n]*\S)?")  # a row of a key keeps its indentation


def mask_secrets(text: str) -> str:
    """``text`` with each character of a secret-looking string replaced by ``x``; length, lines and indentation stay."""
    return mask_secrets_in_range(text, 0, len(text))


def mask_secrets_in_range(text: str, start: int, end: int) -> str:
    """``text[start:end]`` with secrets masked, also those that begin before ``start`` or end after ``end``."""
    return _mask_range(text, start, end, find_secrets(text, start, end))


def mask_secrets_around(text: str, start: int, cursor: int, after: int, end: int) -> tuple[str, str]:
    """``text[start:cursor]`` and ``text[after:end]`` as ``mask_secrets_in_range`` masks them, in one search.

    Private keys are searched once for both, and all but the cursor's line is cached.
    """
    keys = list(find_private_keys(text, max(0, start - MAX_KEY_CHARS), end))
    before = _mask_range(text, start, cursor, itertools.chain(keys, _find_in_touched_lines(text, start, cursor)))
    return before, _mask_range(text, after, end, itertools.chain(keys, _find_in_touched_lines(text, after, end)))


def _mask_range(text: str, start: int, end: int, found: Iterable[tuple[int, int]]) -> str:
    parts: list[str] = []
    done = start
    for secret_start, secret_end in sorted(found):
        first, last = max(secret_start, done), min(secret_end, end)
        if last > first:  # the whole secret is masked: blanks within it are at the end of a line of its part
            masked = _mask(text[secret_start:secret_end])
            parts += text[done:first], masked[first - secret_start : last - secret_start]
            done = last
    return "".join((*parts, text[done:end])) if parts else text[start:end]


def restore_secrets(text: str, masked: str, original: str) -> str | None:
    """``text`` with its masked lines replaced by those of ``original``, whose masked form is ``masked``.

    None if another line contains a secret or a mask, or if a masked line may stand for several lines.
    """
    lines_by_form: dict[str, set[str]] = {}
    for masked_line, line in zip(masked.split("\n"), original.split("\n"), strict=True):
        lines_by_form.setdefault(masked_line.strip(), set()).add(line.strip())
    originals = {form: found for form, found in lines_by_form.items() if found != {form}}
    unmasked = lines_by_form.keys() - originals.keys()
    lines = []
    for line in text.split("\n"):
        candidates = originals.get(line.strip(), ())
        restored = next(iter(candidates)) if len(candidates) == 1 else None
        has_mask = originals and line.strip() not in unmasked and _SHORT_MASK.search(line)
        if restored is None and (has_mask or contains_secret(line)):
            return None
        lines.append(line if restored is None else line.replace(line.strip(), restored))
    return "\n".join(lines)


def contains_secret(text: str, before: str = "") -> bool:
    """Whether ``text``, which follows ``before``, contains a secret, a mask, or the rest of a secret."""
    line = before.rpartition("\n")[2][-_LINE_CHARS_BEFORE:]
    whole = line + text
    found = itertools.chain(find_private_keys(whole, 0, len(whole)), _find_in_lines(whole))
    return _MIN_MASK in text or any(end > len(line) for _, end in found)


def find_secrets(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Start and end of the secret-looking strings that touch ``start`` .. ``end``, in no order; they may overlap.

    Private keys have many lines, all other secrets are within one. Of a very long line, only the part near ``start`` ..
    ``end`` is searched.
    """
    end = len(text) if end is None else end
    yield from find_private_keys(text, max(0, start - MAX_KEY_CHARS), end)
    yield from _find_in_touched_lines(text, start, end)


def _find_in_touched_lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    first_line = text.rfind("\n", 0, start) + 1
    if start - first_line > _LONG_LINE_CHARS:
        first_line += (start - first_line) // _PIECE_CHARS * _PIECE_CHARS - _PIECE_CHARS
    last_line = max(first_line, text.rfind("\n", 0, end) + 1)
    line_end = text.find("\n", end)
    line_end = line_end if line_end >= 0 else len(text)
    if line_end - end > _LONG_LINE_CHARS:
        line_end = last_line + ((end - last_line) // _PIECE_CHARS + 2) * _PIECE_CHARS
    whole_lines = first_line
    if first_line < start and first_line < last_line:  # the cursor's line: the lines below it stay the same
        whole_lines = text.find("\n", first_line) + 1
        yield from _find_in_part(text, first_line, whole_lines - 1)
    yield from _find_in_part(text, whole_lines, last_line)
    yield from _find_in_part(text, last_line, line_end)


def _find_in_part(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The secrets of the lines from ``start`` to ``end``, cached unless they are very many."""
    find = _find_in_block if end - start <= _MAX_CACHED_CHARS else _find_in_lines
    for first, last in find(text[start:end]):
        yield start + first, start + last


def _find_in_lines(text: str) -> tuple[tuple[int, int], ...]:
    """RE2 skips to the next line that may have a secret; only those lines are read in detail.

    A text with more than _MAX_LINES_IN_DETAIL such lines is data: the rest of it counts as secret.
    """
    if len(text) < _MIN_LINE_CHARS:
        return ()
    data = text.encode("ascii", "replace")  # one byte for each character, so that offsets stay
    found: list[tuple[int, int]] = []
    position = lines = 0
    while match := ANY.search(data, position):
        line_start = data.rfind(b"\n", 0, match.start()) + 1
        line_end = data.find(b"\n", match.start())
        line_end = line_end if line_end >= 0 else len(data)
        line, lines = text[line_start:line_end], lines + 1
        if lines > _MAX_LINES_IN_DETAIL:
            found.append((line_start, len(text)))
            break
        find = _find_in_short_line if len(line) <= _MAX_CACHED_LINE_CHARS else _find_in_line
        found += [(line_start + first, line_start + last) for first, last in find(line)]
        position = line_end + 1
        if position >= len(data):
            break
    return tuple(found)


_find_in_block = functools.lru_cache(maxsize=64)(_find_in_lines)
"""From key to key, the window's lines above and below the cursor's line stay the same, and its line is in the texts on
both sides of the cursor."""


def _find_in_line(line: str) -> tuple[tuple[int, int], ...]:
    data = line.encode("ascii", "replace")
    return (
        *_find_shapes(ALL_TOKENS, TOKENS, line, data),
        *_find_shapes(ALL_CONTEXTS, CONTEXTS, line, data),
        *find_assigned(line, data),
    )


_find_in_short_line = functools.lru_cache(maxsize=20_000)(_find_in_line)
"""At the next key only one line is different."""


def clear_caches() -> None:
    """Forget the texts of all clients."""
    _find_in_block.cache_clear()
    _find_in_short_line.cache_clear()


def _find_shapes(pattern: Any, shapes: tuple[Shape, ...], line: str, data: bytes) -> Iterator[tuple[int, int]]:
    for count, match in enumerate(pattern.finditer(data)):
        if count == MAX_MATCHES_PER_LINE:
            yield match.start(), len(line)
            return
        group = match.lastindex
        shape, (start, end) = shapes[group - 1], match.span(group)
        if shape.shortest <= end - start and shape.accepts(line[start : min(end, start + shape.longest)]):
            before = data[max(0, match.start() - _COMMAND_CHARS_BEFORE) : match.start() + 1]
            if end - start <= shape.longest and (not shape.command or COMMANDS[shape.command].search(before)):
                yield start, end


def _mask(secret: str) -> str:
    return _LINE_TEXT.sub(lambda match: MASK * len(match[0]), secret)
