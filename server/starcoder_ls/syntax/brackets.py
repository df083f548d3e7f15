"""Scans a text once and says which brackets, string or comment it leaves open.

The scanner knows each language's quotes and comment marks and nothing else. A heredoc that contains a single quote
misleads it.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.languages.language import Language

OPENERS, CLOSERS = "([{", ")]}"
_OPENER_OF = dict(zip(CLOSERS, OPENERS, strict=True))
_MATCHES_NOTHING = "(?!)"
CHARACTER_LITERAL = r"'(?:\\(?:.|u\{?[0-9a-fA-F]+\}?|x[0-9a-fA-F]+)|[^\\'\n])'"
"""A quoted single character, for languages with ``has_character_literals``."""

_REGEX_LITERAL = (
    r"(?:(?<=[=(,:!&|?;] )|(?<=[=(,:!&|?;]))/(?![*/])(?:\\.|\[(?:(?:\\.|[^\[\]\\\n]){0,50}+\[?){1,4}+\]|[^/\\\n\[])++/"
)
"""A slash after one of these characters cannot be a division. The bounds on a character class keep the time linear."""


@dataclass(frozen=True, slots=True)
class ScanState:
    """What is open at the end of a scanned text."""

    open_brackets: str = ""
    """Outermost first."""
    unmatched_closers: str = ""
    """Closing brackets that no earlier bracket had opened."""
    closing_delimiter: str = ""
    """What closes the string or comment open at the end: a line feed if it ends with its line. Empty in code."""
    is_comment: bool = False

    @property
    def is_code(self) -> bool:
        return not self.closing_delimiter

    @property
    def is_string(self) -> bool:
        return bool(self.closing_delimiter) and not self.is_comment


_INITIAL_STATE = ScanState()

_MAX_CACHED_TEXTS = 8
_cached_scans: deque[tuple[Language, str, ScanState]] = deque(maxlen=_MAX_CACHED_TEXTS)
"""Scanned texts of whole lines with the state at their end: a keystroke changes only the last line. Threads may share
the cache; an entry that one thread drops is scanned again by another."""


def clear_caches() -> None:
    """Forget the texts of all clients."""
    _cached_scans.clear()


def scan_incrementally(text: str, language: Language) -> ScanState:
    """The same as ``scan``, for a text from the beginning of a document; reuses the scan of its unchanged lines."""
    state = scan_stepwise(text, language, len(text))
    assert state is not None
    return state


def scan_stepwise(text: str, language: Language, max_chars: int) -> ScanState | None:
    """As ``scan_incrementally``; None if more than ``max_chars`` characters of whole lines had to be scanned.

    Then about so many were scanned, and the next call continues after them.
    """
    end = _end_of_whole_lines(text, len(text))
    state, start = _INITIAL_STATE, 0
    for cached_language, cached_text, cached_state in reversed(list(_cached_scans)):
        if start < len(cached_text) <= end and cached_language is language and text.startswith(cached_text):
            state, start = cached_state, len(cached_text)
            if start == end:
                break
    is_complete = end - start <= max_chars
    if not is_complete:
        end = _end_of_whole_lines(text, start + max_chars)
    if start < end:
        whole_lines = text[:end]
        state, start = scan(whole_lines, language, state, start), end
        _cached_scans.append((language, whole_lines, state))
    if not is_complete:
        return None
    return state if start == len(text) else scan(text, language, state, start)


def _end_of_whole_lines(text: str, limit: int) -> int:
    """The last line end before ``limit`` that no string continues after."""
    end = text.rfind("\n", 0, limit) + 1
    while end > 1 and text[end - 2] == "\\":
        end = text.rfind("\n", 0, end - 1) + 1
    return end


def scan(text: str, language: Language, initial: ScanState = _INITIAL_STATE, start: int = 0) -> ScanState:
    """The state after ``text`` if the state at offset ``start`` was ``initial``.

    The text before ``start`` is only used to tell a regular expression from a division.
    """
    open_brackets, unmatched_closers, offset = list(initial.open_brackets), initial.unmatched_closers, start
    if initial.closing_delimiter:
        offset = _find_end(text, start, initial.closing_delimiter, initial.is_comment, language)
        if offset < 0:
            return initial
    match_token = _token_pattern(language).match
    while match := match_token(text, offset):
        offset, kind = match.end(), match.lastgroup
        if kind is None:  # a character that begins no token here
            continue
        token = match[kind]
        if kind == "opener":
            open_brackets.append(token)
        elif kind == "closer":
            if open_brackets and open_brackets[-1] == _OPENER_OF[token]:
                open_brackets.pop()
            else:
                unmatched_closers += token
        elif kind != "literal":
            is_comment = kind in ("line_comment", "block_comment")
            if kind == "line_comment":
                delimiter = "\n"
            else:
                delimiter = dict(language.block_comments)[token] if kind == "block_comment" else token
            offset = _find_end(text, offset, delimiter, is_comment, language)
            if offset < 0:
                return ScanState("".join(open_brackets), unmatched_closers, delimiter, is_comment)
    return ScanState("".join(open_brackets), unmatched_closers)


def _find_end(text: str, start: int, delimiter: str, is_comment: bool, language: Language) -> int:
    """The offset after the string or comment that ``delimiter`` closes; -1 if it does not end in ``text``."""
    if is_comment:
        found = text.find(delimiter, start)
        return found if delimiter == "\n" or found < 0 else found + len(delimiter)
    is_single_line = delimiter in language.quotes and delimiter not in language.multiline_quotes
    line_end = text.find("\n", start) if is_single_line else -1
    offset = start
    while (found := text.find(delimiter, offset)) >= 0 and (line_end < 0 or found < line_end):
        backslashes = found - len(text[offset:found].rstrip("\\")) - offset
        if backslashes % 2 == 0:  # the quote is not escaped
            return found + len(delimiter)
        offset = found + 1
    return line_end


@functools.cache
def _token_pattern(language: Language) -> re.Pattern[str]:
    """Matches the text up to and including the next token, or one character that could begin one and does not.

    A complete single-line string is one token. Every match begins where the last one ended: a search that skips text
    and then finds no token would skip it again from each of its characters, in quadratic time.
    """
    short_quotes = [quote for quote in language.quotes if not (quote == "'" and language.has_character_literals)]
    literals = [rf"{quote}(?:\\.|[^{quote}\\\n])*+(?:{quote}|(?=\n))" for quote in short_quotes]
    literals += [r"\(\)", r"\[\]", r"\{\}"]  # brackets that change nothing
    literals += [CHARACTER_LITERAL] if language.has_character_literals else []
    literals += [_REGEX_LITERAL] if language.has_regex_literals else []
    line_comment = _any_of(language.line_comments)
    block_openers = [opening for opening, _ in language.block_comments]
    kinds = {
        "block_comment": _any_of(block_openers),
        "line_comment": rf"(?<![^\s;])(?:{line_comment})" if language.comment_needs_blank else line_comment,
        "multiline_quote": _any_of(language.multiline_quotes),
        "literal": "|".join(literals) or _MATCHES_NOTHING,
        "short_quote": _any_of(short_quotes),
        "opener": r"[(\[{]",
        "closer": r"[)\]}]",
    }
    marks = (*block_openers, *language.line_comments, *language.quotes, *language.multiline_quotes)
    first_characters = re.escape("".join(sorted({mark[0] for mark in marks})))
    skipped = f"[^{first_characters}(){{}}\\[\\]']*+"  # skipping it in one step makes the scan six times as fast
    tokens = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds.items())
    return re.compile(f"{skipped}(?:{tokens}|.)", re.DOTALL)


def _any_of(words: Sequence[str]) -> str:
    return "|".join(map(re.escape, words)) or _MATCHES_NOTHING
