"""Follows brackets, angle brackets, quotes and interpolations through a text that begins inside some of them.

Unlike ``syntax.brackets``, this knows the arguments of types (``Vec<u8>``), the attributes of tags and code inside
strings, and says where each delimiter that was open before the text is closed. It reads one suggestion, not documents.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from starcoder_ls.languages.language import Language
from starcoder_ls.syntax.brackets import CHARACTER_LITERAL

PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
OPENER_OF = {closer: opener for opener, closer in PAIRS.items()}
QUOTES = ('"""', "'''", '"', "'", "`")
_TYPE_OPENER = r"(?:(?<=[\w:>])|(?<=\bfn ))<(?![\s=<])"  # a comparison has blanks, a shift two of them
_TAG_OPENER = r"</?(?=[a-zA-Z!])"


class Delimiter(NamedTuple):
    """An open bracket or string by what opened it. ``is_interpolated``: the string may contain code."""

    opener: str
    is_interpolated: bool = False

    @property
    def is_string(self) -> bool:
        return self.opener in QUOTES

    @property
    def closer(self) -> str:
        return PAIRS.get(self.opener, self.opener)


@dataclass(slots=True)
class Followed:
    """``closed`` has the offsets at which the text first closed what was open before it, the innermost first.

    ``open`` is what is open at its end, the outermost first.
    """

    open: list[Delimiter]
    closed: list[int] = field(default_factory=list)


def follow(text: str, opened: Sequence[Delimiter], language: Language) -> Followed:
    """What ``text`` closes and leaves open after ``opened``, the outermost first."""
    found = Followed(list(opened))
    offset, untouched = 0, len(opened)
    while match := _pattern_at(found.open, opened, language).search(text, offset):
        offset = match.end()
        _apply(match, found.open, untouched, language)
        if len(found.open) < untouched:
            untouched = len(found.open)
            found.closed.append(match.start())
    while len(found.open) > untouched and found.open[-1].opener == "<" and language.angle_brackets == "types":
        found.open.pop()  # a comparison without blanks
    return found


def _apply(match: re.Match[str], stack: list[Delimiter], untouched: int, language: Language) -> None:
    """Change ``stack`` as one token demands. Its first ``untouched`` delimiters were open before the text."""
    kind, token = match.lastgroup or "", match.group()
    top = stack[-1] if stack else Delimiter("")
    if kind == "end" or (kind == "newline" and len(stack) > untouched):
        stack.pop()
    elif kind == "interpolation":
        stack.append(Delimiter(token[-1]))
    elif kind == "quote":
        is_interpolated = _begins_interpolated(match.string[: match.end()], language)
        stack.append(Delimiter(token, is_interpolated))
    elif kind in ("opener", "angle"):
        stack.append(Delimiter(token[0]))
    elif kind == "closer":
        is_comparison = top.opener == "<" and token != ">" and len(stack) > untouched
        while is_comparison and len(stack) > untouched and stack[-1].opener == "<":
            stack.pop()
        if stack and stack[-1].closer == token:
            stack.pop()


def _begins_interpolated(text: str, language: Language) -> bool:
    """Whether the quote at the end of ``text`` opens a string that may contain code."""
    pattern = language.interpolated_string
    return bool(pattern) and re.search(rf"(?:{pattern})\Z", text[-6:]) is not None


def string_at_end(line: str, quote: str, language: Language) -> Delimiter:
    """The string that the last ``quote`` of ``line`` opened."""
    return Delimiter(quote, _begins_interpolated(line[: line.rfind(quote) + len(quote)], language))


def _pattern_at(stack: list[Delimiter], opened: Sequence[Delimiter], language: Language) -> re.Pattern[str]:
    top = stack[-1] if stack else Delimiter("")
    if top.is_string:
        return _string_pattern(top, language)
    known_quotes = tuple(sorted({delimiter.opener for delimiter in opened if delimiter.is_string}))
    is_in_tag = top.opener == "<" or (not stack and bool(known_quotes))  # an attribute's quote was open, so a tag is
    return _code_pattern(language, known_quotes, is_in_tag)


@functools.cache
def _string_pattern(string: Delimiter, language: Language) -> re.Pattern[str]:
    """Matches what ends ``string`` and what is special inside it."""
    begin = re.escape(language.interpolation)
    escaped = r"\{\{|" if language.interpolation == "{" and string.is_interpolated else ""
    code = f"(?P<interpolation>{begin})|" if begin and string.is_interpolated else ""
    is_single_line = string.opener not in language.multiline_quotes and language.angle_brackets != "tags"
    newline = r"|(?P<newline>\n)" if is_single_line else ""
    return re.compile(rf"{escaped}{code}\\.|(?P<end>{re.escape(string.opener)}){newline}", re.DOTALL)


@functools.lru_cache(256)
def _code_pattern(language: Language, known_quotes: tuple[str, ...], is_in_tag: bool) -> re.Pattern[str]:
    """Matches the next delimiter. In prose and between tags only the quotes that are already open are quotes."""
    is_tags = language.angle_brackets == "tags"
    quotes = [*language.multiline_quotes, *language.quotes]
    if language.is_prose:
        quotes = ['"', "'"] if is_tags and is_in_tag else [quote for quote in known_quotes if not is_tags]
    literals = [CHARACTER_LITERAL] if language.has_character_literals else []
    quotes = [quote for quote in quotes if quote != "'" or not language.has_character_literals]
    comments = [rf"{re.escape(mark)}[^\n]*" for mark in language.line_comments]
    skipped = "|".join([*literals, r"[-=]>", *comments])
    angle = {"types": _TYPE_OPENER, "tags": _TAG_OPENER, "": "(?!)"}[language.angle_brackets]
    marks = "|".join(map(re.escape, quotes)) or "(?!)"
    return re.compile(rf"(?:{skipped})|(?P<quote>{marks})|(?P<angle>{angle})|(?P<opener>[(\[{{])|(?P<closer>[)\]}}>])")
