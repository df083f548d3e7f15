"""Where a suggestion ends: one statement, or the block that the cursor has just opened.

Each rule is asked after every token with the whole text so far, and answers how much of it to keep, or None to go on.
Refuses to know tokens and models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from starcoder_ls.completion.insertion_point import InsertionPoint, has_words
from starcoder_ls.completion.output import auto_closers, unsafe_text
from starcoder_ls.generation import StopRule
from starcoder_ls.syntax import brackets

MAX_LINES = 12
"""A longer suggestion is read by nobody while typing."""

_UNFINISHED_LINES = 3  # a statement may go on so far behind the line where its brackets are closed
_LOOP = re.compile(r"(.{4,48}?)\1{3}\Z", re.DOTALL)
_LONG_LOOP = re.compile(r"(.{3,16}?)\1{7}\Z", re.DOTALL)
_DULL = re.compile(r"[\s\d,.#=*_~+-]*")  # numbers and rulers
_LOOP_CHARS = 200
_TIMES, _LEAST_CHARS = 3, 6
_CONTINUES = re.compile(r"\??\.|\?\Z")

Rule = Callable[[str, InsertionPoint], int | None]


def rule(gap: InsertionPoint) -> StopRule:
    """All rules that are on; the one that keeps least wins."""
    active = [one for name, one in RULES if name not in gap.is_off]

    def ask(text: str) -> int | None:
        return min((kept for one in active if (kept := one(text, gap)) is not None), default=None)

    return ask


def loop(text: str, _gap: InsertionPoint) -> int | None:
    """Ends once the text says the same four times in a row, and keeps the whole lines before.

    ``0, 0, 0, 0`` and rulers are no loops: what is repeated must have four characters, a letter among them; without
    one it must be said eight times.
    """
    tail = max(0, len(text) - _LOOP_CHARS)
    match = _LOOP.search(text, tail)
    if match is None or not any(char.isalpha() for char in match.group(1)):
        match = _LONG_LOOP.search(text, tail)
        if match is None or _DULL.fullmatch(match.group(1)):
            return None
    return len(text[: match.start()].rpartition("\n")[0].rstrip())


def said_again(text: str, _gap: InsertionPoint) -> int | None:
    """Ends when a line is said a third time in a row, or two to four lines a second time; keeps the first."""
    ends = list(_line_ends(text))
    lines = [text[begin:end].strip() for begin, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]
    for size in range(1, 5):
        times = _TIMES if size == 1 else 2
        said = lines[-size:]
        chars = sum(map(len, said))
        is_worth_saying = chars >= _LEAST_CHARS * size and sum(map(has_words, said)) >= min(size, 2)
        if is_worth_saying and len(lines) >= size * times and lines[-size * times :] == said * times:
            return ends[len(lines) - size * (times - 1) - 1]
    return None


def next_line(text: str, gap: InsertionPoint) -> int | None:
    """Ends before a whole line that is the file's next one."""
    following = gap.below[0] if gap.below else ""
    if not has_words(following):
        return None
    begin = 0
    for end in _line_ends(text):
        if begin and text[begin:end].rstrip() == following:
            return len(text[:begin].rstrip())
        begin = end + 1
    return None


def statement(text: str, gap: InsertionPoint) -> int | None:
    """Ends with the first line that has content and leaves neither a bracket nor a statement unfinished.

    Unfinished (``if (x)``, ``a +``) is what the tree says; if it goes on saying so, brackets decide.
    """
    if gap.spot.region != "code" or _is_block(text, gap):
        return None
    if gap.rest and not auto_closers.ONLY.fullmatch(gap.rest.strip()):
        return end if (end := text.find("\n")) >= 0 else None  # a second line would take the line's rest with it
    first, lines = None, 0
    for end in _line_ends(text, len(text) - len(text.lstrip("\n"))):
        state = gap.read(text[: end + 1])
        lines += first is not None
        is_open = not state.is_code or (state.open_brackets and not gap.language.is_prose)
        if is_open or gap.is_commented(text[:end]):  # what a comment is about comes behind it
            continue
        following = text[end + 1 :].lstrip(" \t")
        if gap.language.has_method_chains and not following and text[:end].rstrip()[-1:] not in ";,{}:":
            return None  # the next line may begin with a dot
        if gap.is_complete(text[:end]) and not (gap.language.has_method_chains and _CONTINUES.match(following)):
            return end
        first = end if first is None else first
        if lines >= _UNFINISHED_LINES:
            return first
    return None


def block(text: str, gap: InsertionPoint) -> int | None:
    """A block ends before a line less indented than it, behind the line that closes it, before a second blank line."""
    if not _is_block(text, gap):
        return None
    opener = gap.depth(gap.opener)
    floor = max(gap.depth(gap.own) if gap.spot.follows_block_opener else 0, opener + 1)
    for end in _line_ends(text):
        if text.startswith("\n\n\n", end):
            return end
        if (found := text.find("\n", end + 1)) < 0:
            found = len(text)
        line = text[end + 1 : found]
        if not line.strip():
            continue
        depth = gap.depth(line)
        if depth >= floor:
            continue
        if depth != opener or not _may_close(line, gap):
            return len(text[:end].rstrip())
        if found < len(text) and _has_closed(text[:found], line, gap):
            return found
    return None


def prose(text: str, gap: InsertionPoint) -> int | None:
    """In a string or a comment the line is the end, whatever brackets it has; so is the string's end if it is there."""
    if gap.spot.region == "code":
        return None
    begin = len(text) - len(text.lstrip("\n"))
    ends = gap.spot.closing_delimiter
    if ends.strip() and ends in gap.rest and ends in text:
        closed = next((place for place in range(len(text)) if gap.read(text[: place + 1]).is_code), None)
        if closed is not None:
            return closed + 1 - len(ends)
    return next(_line_ends(text, begin), None)


def lines(text: str, _gap: InsertionPoint) -> int | None:
    """Nobody reads more while typing."""
    for number, end in enumerate(_line_ends(text), 1):
        if number >= MAX_LINES:
            return end
    return None


RULES: tuple[tuple[str, Rule], ...] = (
    ("special_tokens", unsafe_text.special_token),
    ("hidden_characters", unsafe_text.hidden_character),
    ("loop", loop),
    ("said_again", said_again),
    ("next_line", next_line),
    ("statement", statement),
    ("block", block),
    ("prose", prose),
    ("lines", lines),
)


def _is_block(text: str, gap: InsertionPoint) -> bool:
    """A fresh line below an opener, or the opener itself where the text goes on in the next line."""
    return gap.spot.follows_block_opener or bool(gap.opener and text.lstrip(" \t").startswith("\n"))


def _may_close(line: str, gap: InsertionPoint) -> bool:
    """``line`` begins with what closes blocks; where indentation does that, a bracket must have been opened."""
    is_open = not gap.language.has_indented_blocks or bool(brackets.scan(gap.opener, gap.language).open_brackets)
    return is_open and re.match(gap.language.block_closer, line.lstrip()) is not None


def _has_closed(text: str, line: str, gap: InsertionPoint) -> bool:
    """``line`` closes the block and opens no other (``} else {``)."""
    if gap.language.block_end_words:
        return re.match(rf"\s*(?:{'|'.join(gap.language.block_end_words)}|\}})\b", line) is not None
    state = brackets.scan(text, gap.language)
    return bool(state.unmatched_closers) and not state.open_brackets


def _line_ends(text: str, begin: int = 0) -> Iterator[int]:
    end = text.find("\n", begin)
    while end >= 0:
        yield end
        end = text.find("\n", end + 1)
