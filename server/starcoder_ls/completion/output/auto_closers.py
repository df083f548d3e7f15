"""The closing brackets and quotes right of the cursor, which editors insert automatically.

Decides which characters count as such, and which of them a suggestion repeats and therefore replaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starcoder_ls.completion.output.delimiters import OPENER_OF, QUOTES, Delimiter, follow, string_at_end
from starcoder_ls.languages.language import Language

ONLY_CLOSERS = re.compile(r"[)\]}\"'`;,:>]+")
_CLOSERS_AT_LINE_END = re.compile(ONLY_CLOSERS.pattern + r"(?=[ \t]*(?:[\r\n]|\Z))")
_CLOSER = re.compile("|".join([*map(re.escape, QUOTES), r"[)\]}>]", r"[;,:]+"]))
_SEPARATORS = frozenset(";,:")


@dataclass(frozen=True, slots=True)
class Closer:
    """One closing bracket or quote right of the cursor: what it closes, and its offsets from the cursor.

    ``is_at_cursor``: only blanks stand between the two.
    """

    closes: Delimiter
    start: int
    end: int
    is_at_cursor: bool


def closers_at(text: str, offset: int = 0) -> str:
    """The closers from ``offset`` to the end of its line; empty if the line has anything else there but blanks."""
    match = _CLOSERS_AT_LINE_END.match(text, offset)
    return match.group() if match else ""


def read_closers(rest: str, line_before: str, language: Language, delimiter: str = "") -> list[Closer]:
    """The closers at the beginning of ``rest``, the text right of the cursor; ``,``, ``;`` and ``:`` close nothing.

    ``line_before`` is the cursor's line up to the cursor, ``delimiter`` what closes the string that it is in. A ``>``
    is a closer if it may close a type's arguments or a tag that the line has opened.
    """
    found: list[Closer] = []
    open_angles = _count_open_angles(line_before, language)
    offset = len(rest) - len(rest.lstrip(" \t"))
    while match := _CLOSER.match(rest, offset):
        token = match.group()
        if found and token in QUOTES and found[-1].closes.opener == token:
            break  # an empty string, not two ends
        if token in QUOTES:
            if delimiter in QUOTES and not found and token != delimiter and token.startswith(delimiter):
                token = delimiter
            closes = string_at_end(line_before, token, language)
            if found and found[-1].closes.opener in "{(" and language.interpolation:
                closes = Delimiter(token, closes.is_interpolated)
        elif token == ">":
            if not open_angles:
                break
            open_angles -= 1
            closes = Delimiter("<")
        elif token[0] not in _SEPARATORS:
            closes = Delimiter(OPENER_OF[token])
        if token[0] not in _SEPARATORS:
            found.append(Closer(closes, offset, offset + len(token), not rest[:offset].strip(" \t")))
        offset += len(token)
    return found


def _count_open_angles(line: str, language: Language) -> int:
    """How many ``<`` of types or of a tag are open at the end of ``line``."""
    if not language.angle_brackets:
        return 0
    if language.angle_brackets == "tags":
        return int(line.rfind("<") >= 0 and line.rfind("<") > line.rfind(">")) or int("<" not in line)
    depth = 0
    for match in re.finditer(r"[-=]>|(?<=[\w:>])<(?=[^\s=<]|\Z)|>", line):
        depth = depth + 1 if match.group() == "<" else max(depth - (match.group() == ">"), 0)
    return depth


def leaves_closers(text: str, closers: list[Closer], language: Language) -> bool:
    """Whether the same brackets and strings are open after ``text`` as before it, so that all ``closers`` still fit."""
    opened = [closer.closes for closer in reversed(closers)]
    still_open = follow(text, opened, language).open
    has_open_escape = (len(text) - len(text.rstrip("\\"))) % 2 == 1 and bool(still_open) and still_open[-1].is_string
    return not has_open_escape and _openers(still_open) == _openers(opened)


def first_closed(text: str, closers: list[Closer], language: Language) -> int | None:
    """The offset at which ``text`` closes what the first of ``closers`` closes; None if it does not."""
    closed = follow(text, [closer.closes for closer in reversed(closers)], language).closed
    return closed[0] if closed else None


def fills_brackets(text: str, line_before: str, closers: list[Closer]) -> bool:
    """Whether ``text`` begins on the next line inside the empty brackets at the cursor, such as ``{|}``."""
    opener = line_before.rstrip()[-1:]
    if opener not in tuple("([{") or not closers or not closers[0].is_at_cursor:
        return False
    return closers[0].closes.opener == opener and text.lstrip(" \t").startswith("\n")


def count_filled(text: str, line_before: str, closers: list[Closer], language: Language) -> int:
    """How many characters right of the cursor ``text`` replaces if it fills empty brackets that more text follows.

    In ``x = {|}  # n``, a text of several lines has to end with the bracket: the comment stays behind it.
    """
    if not fills_brackets(text, line_before, closers):
        return 0
    is_closed = first_closed(text, closers, language) == len(text.rstrip()) - 1
    return closers[0].end if is_closed else 0


def count_replaced(text: str, rest: str, closers: list[Closer], language: Language) -> int:
    """How many characters of ``rest``, from the first, ``text`` contains itself and therefore has to replace.

    ``foo(|)`` and the text ``a) + 1``: it contains the bracket that the editor inserted. In ``foo(|)`` and
    ``a) + b(c`` the bracket closes another one, and nothing is replaced.
    """
    if not closers:
        return 0
    opened = [closer.closes for closer in reversed(closers)]
    followed = follow(text, opened, language)
    if not followed.closed:
        return 0
    still_open = len(followed.open)
    is_balanced = _openers(followed.open) == _openers(opened[:still_open])
    count = len(opened) - still_open if is_balanced else len(followed.closed)
    if not count:
        return 0
    end = closers[count - 1].end
    tail_end = closers[count].start if count < len(closers) else len(rest)
    tail = rest[end:tail_end]
    line_end = text.find("\n", followed.closed[count - 1])
    line = text if line_end < 0 else text[:line_end]
    is_repeated = bool(tail) and (line.rstrip().endswith(tail) or text.rstrip().endswith(tail))
    return tail_end if is_repeated else end


def _openers(delimiters: list[Delimiter]) -> list[str]:
    return [delimiter.opener for delimiter in delimiters]
