"""Which brackets, string or comment a text leaves open, by reading it once from its beginning.

Knows each language's quotes and comments and nothing more: a heredoc with
one quote misleads it. Refuses to know trees.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.languages.language import Language

OPENERS, CLOSERS = "([{", ")]}"
_NEVER = "(?!)"
_CHARACTER = r"'(?:\\(?:.|u\{?[0-9a-fA-F]+\}?|x[0-9a-fA-F]+)|[^\\'\n])'"

_PATTERN = r"(?:(?<=[=(,:!&|?;] )|(?<=[=(,:!&|?;]))/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/"
"""A slash after any of these cannot divide."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a text leaves its reader."""

    brackets: str = ""
    """The open ones, outermost first."""
    surplus: str = ""
    """Closing ones that nothing before them had opened."""
    ends: str = ""
    """What ends the string or comment that is open at the end; a line end for those of one line. Empty in code."""
    is_comment: bool = False

    @property
    def is_code(self) -> bool:
        return not self.ends

    @property
    def is_string(self) -> bool:
        return bool(self.ends) and not self.is_comment


_NOTHING = State()

_KNOWN_TEXTS = 8
_known: deque[tuple[Language, str, State]] = deque(maxlen=_KNOWN_TEXTS)
"""Texts of whole lines that were read, and where they left their reader: a key changes the last line alone. Threads may
share it: what one drops the other reads again."""


def read_again(text: str, language: Language) -> State:
    """``read`` of a text from a document's beginning, most of which has been read before."""
    end = text.rfind("\n") + 1
    while end > 1 and text[end - 2] == "\\":  # a string may go on behind that line end
        end = text.rfind("\n", 0, end - 1) + 1
    begun, start = _NOTHING, 0
    for its_language, known, state in reversed(list(_known)):
        if start < len(known) <= end and its_language is language and text.startswith(known):
            begun, start = state, len(known)
            if start == end:
                break
    if start < end:
        lines = text[:end]
        begun, start = read(lines, language, begun, start), end
        _known.append((language, lines, begun))
    return read(text, language, begun, start)


def read(text: str, language: Language, begun: State = _NOTHING, start: int = 0) -> State:
    """The state after ``text`` if the one at ``start`` was ``begun``; what is before tells slashes from divisions."""
    brackets, surplus, place = list(begun.brackets), begun.surplus, start
    if begun.ends:
        place = _end(text, start, begun.ends, begun.is_comment, language)
        if place < 0:
            return begun
    pattern = _pattern(language)
    while match := pattern.search(text, place):
        place, kind = match.end(), match.lastgroup or ""
        token = match[kind]
        if kind == "open":
            brackets.append(token)
        elif kind == "close":
            if brackets and OPENERS.index(brackets[-1]) == CLOSERS.index(token):
                brackets.pop()
            else:
                surplus += token
        elif kind != "whole":
            is_comment = kind in ("line", "block")
            ends = "\n" if kind == "line" else dict(language.block_comments)[token] if kind == "block" else token
            place = _end(text, place, ends, is_comment, language)
            if place < 0:
                return State("".join(brackets), surplus, ends, is_comment)
    return State("".join(brackets), surplus)


def _end(text: str, place: int, ends: str, is_comment: bool, language: Language) -> int:
    """Where the text goes on behind what ``ends`` closes; -1 if it does not."""
    if is_comment:
        found = text.find(ends, place)
        return found if ends == "\n" or found < 0 else found + len(ends)
    is_short = ends in language.quotes and ends not in language.multiline_quotes
    line_end = text.find("\n", place) if is_short else -1
    while (found := text.find(ends, place)) >= 0 and (line_end < 0 or found < line_end):
        slashes = found - len(text[place:found].rstrip("\\")) - place
        if slashes % 2 == 0:  # the quote is not escaped
            return found + len(ends)
        place = found + 1
    return line_end


@functools.cache
def _pattern(language: Language) -> re.Pattern[str]:
    """What is worth stopping at; a complete one-line string is passed over in one go."""
    short = [quote for quote in language.quotes if not (quote == "'" and language.has_character_literals)]
    whole = [rf"{quote}(?:\\.|[^{quote}\\\n])*(?:{quote}|(?=\n))" for quote in short]
    whole += [_CHARACTER] if language.has_character_literals else []
    whole += [_PATTERN] if language.has_regex_literals else []
    line = _one_of(language.line_comments)
    starts = [begin for begin, _ in language.block_comments]
    kinds = {
        "block": _one_of(starts),
        "line": rf"(?<![^\s;])(?:{line})" if language.comment_needs_blank else line,
        "long": _one_of(language.multiline_quotes),
        "whole": "|".join(whole) or _NEVER,
        "short": _one_of(short),
        "open": r"[(\[{]",
        "close": r"[)\]}]",
    }
    first = {begin[0] for begin in (*starts, *language.line_comments, *language.quotes, *language.multiline_quotes)}
    dull = f"[^{re.escape(''.join(sorted(first)))}(){{}}\\[\\]']*+"  # skipped in one step: six times as fast
    return re.compile(dull + "(?:" + "|".join(f"(?P<{kind}>{one})" for kind, one in kinds.items()) + ")", re.DOTALL)


def _one_of(words: Sequence[str]) -> str:
    return "|".join(map(re.escape, words)) or _NEVER
