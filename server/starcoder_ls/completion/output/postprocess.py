"""What of a generated text is shown: pure filters in order, each with its reason.

Refuses to know how the text was made.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starcoder_ls.completion.insertion_point import InsertionPoint, has_words
from starcoder_ls.completion.output import auto_closers, indentation
from starcoder_ls.generation import FinishReason
from starcoder_ls.syntax import brackets, syntax_context

_CLOSING_LINE = re.compile(r"\s*(?:[)\]}>;,]+|fi|done|esac|end;?|</[\w-]+>)\s*")
_HALF_WORD = re.compile(r"\w+$")
_CLOSING_RUN = re.compile(r"[)\]}\"'`]+")
_LEAST_RUN_CHARS = 2
_MIN_OVERLAP_CHARS = 3
_MIN_ECHO_CHARS = 6
_ROUND_LINES, _LEAST_ROUND_CHARS = 8, 16

Filter = Callable[[str, InsertionPoint], str]


def shown(text: str, gap: InsertionPoint, finish_reason: FinishReason) -> str:
    """What to insert into ``gap``; empty if nothing is worth it."""
    if finish_reason in (FinishReason.LENGTH, FinishReason.DEADLINE) and "half_words" not in gap.is_off:
        text = whole_at_limit(text)
    for name, one in FILTERS:
        if name not in gap.is_off:
            text = one(text, gap)
    return text if text.strip() else ""


def whole_at_limit(text: str) -> str:
    """A generation cut by length or time loses its unfinished last line, or its last half word if it has one line."""
    head, newline, _ = text.rpartition("\n")
    if newline and head.strip():
        return head
    return _HALF_WORD.sub("", text)


def without_echo(text: str, gap: InsertionPoint) -> str:
    """What stands before the cursor on its line is not said again (models that lose the place begin the line anew)."""
    own = gap.own.strip()
    if len(own) < _MIN_ECHO_CHARS or not has_words(own) or gap.spot.region != "code":
        return text
    said = text.lstrip()
    if not said.startswith(own) or (own[-1].isalnum() and said[len(own) : len(own) + 1].isalnum()):
        return text
    return said[len(own) :].lstrip() if gap.own[-1:].isspace() else said[len(own) :]


def without_lines_above(text: str, gap: InsertionPoint) -> str:
    """On a fresh line, saying the line above again, or the last few, is noise; so are first lines that do."""
    if not (gap.is_fresh or text.startswith("\n")):
        return text
    lines = text.split("\n")
    said = [line.strip() for line in lines if line.strip()]
    above = [line.strip() for line in gap.above] + ([gap.own.strip()] if not gap.is_fresh else [])
    for count in range(min(len(said), len(above)), 0, -1):
        if said[:count] == above[-count:] and has_words("".join(said[:count])):
            return "" if count == len(said) or not gap.is_fresh else _behind(lines, count)
    return "" if gap.is_fresh and not gap.spot.follows_block_opener and _is_begun_again(said, above) else text


def without_lines_below(text: str, gap: InsertionPoint) -> str:
    """Lines at the end that the file already has below the cursor's line are not suggested again."""
    lines = text.split("\n")
    if (
        gap.spot.closing_delimiter.strip()
        and gap.below[:1]
        and text.strip() == gap.below[0].strip() == gap.spot.closing_delimiter
    ):
        return ""  # what ends the string or the comment stands there already
    at_least = 0 if gap.is_fresh and not gap.rest else 1
    for count in range(min(len(gap.below), len(lines) - at_least), 0, -1):
        tail = [line.rstrip() for line in lines[-count:]]
        tail = [gap.own + tail[0], *tail[1:]] if count == len(lines) else tail
        if tail == gap.below[:count] and has_words("".join(tail)):
            return "\n".join(lines[:-count])
    return text


def without_closing_line(text: str, gap: InsertionPoint) -> str:
    """A last line that closes what the file opened, where the file's next line closes it already, goes."""
    head, newline, last = text.rpartition("\n")
    if not newline or not gap.below or not gap.below[0].startswith(last.rstrip()) or not _CLOSING_LINE.fullmatch(last):
        return text
    if last.strip()[0] in brackets.CLOSERS:
        is_own = not gap.read(text).unmatched_closers
    else:
        is_own = any(line.strip() and gap.depth(line) <= gap.depth(last) for line in head.split("\n")[1:])
    return text if is_own else head


def without_rest(text: str, gap: InsertionPoint) -> str:
    """The text right of the cursor is not inserted a second time, neither whole nor its beginning."""
    rest = gap.rest.strip()
    if not rest or not text or auto_closers.ONLY.fullmatch(rest):
        return text
    first, newline, _ = text.partition("\n")
    if (closed := _closes(first, rest, gap)) is not None:
        return first[:closed]
    at = first.rstrip().rfind(rest)
    is_long = len(rest) >= _MIN_OVERLAP_CHARS  # a shorter rest occurs in a line by chance
    if at >= 0 and (first.rstrip().endswith(rest) or (newline and is_long)):
        return first[:at]
    for length in range(min(len(first), len(gap.rest)), _MIN_OVERLAP_CHARS - 1, -1):
        if first.endswith(gap.rest[:length]):
            return first[:-length]
    return text


def without_closers(text: str, gap: InsertionPoint) -> str:
    """Closers that the editor has put right of the cursor are not said again, unless they close the text's own.

    Nor are any that close what nobody opened.
    """
    text = _without_surplus(text, gap)
    rest = gap.rest.strip()
    if not rest or not auto_closers.ONLY.fullmatch(rest):
        return text
    first = text.split("\n", 1)[0].rstrip()
    for length in range(min(len(first), len(rest)), 0, -1):
        if first.endswith(rest[:length]):
            kept = first[:-length]
            if not gap.read(kept).open_brackets and not _leaves_quote_open(kept, rest[:length], gap):
                return kept
    return text


def without_unclosed(text: str, gap: InsertionPoint) -> str:
    """Several lines that end inside a bracket, a string or a block of their own are cut back to those that are whole.

    At least one line is left, whose end is to come; but a mark that opens a string and says nothing yet is no line.
    """
    if "\n" not in text or gap.spot.region != "code" or gap.language.is_prose:
        return text
    lines = text.split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or _is_unfinished(lines, gap)):
        lines.pop()
    left = "\n".join(lines)
    return left if has_words(left) or len(left) == len(text) or gap.read(left).is_code else ""


def without_noise(text: str, gap: InsertionPoint) -> str:
    """Only a comment where nobody was commenting, a comment mark without words, or opening brackets help nobody."""
    marks = gap.language.line_comments
    said = [line.strip() for line in text.split("\n") if line.strip()]
    if gap.spot.region != "code" or not said:
        return text
    if gap.is_fresh and all(char in brackets.OPENERS or char.isspace() for char in text):
        return ""
    if not marks or not all(line.startswith(marks) for line in said):
        return text
    neighbours = gap.above[-1:] + gap.below[:1]
    is_commenting = gap.is_fresh and any(line.strip().startswith(marks) for line in neighbours)
    return text if is_commenting and has_words(text) else ""


FILTERS: tuple[tuple[str, Filter], ...] = (
    ("echo", without_echo),
    ("lines_above", without_lines_above),
    ("lines_below", without_lines_below),
    ("closing_line", without_closing_line),
    ("rest_of_line", without_rest),
    ("closers", without_closers),
    ("indentation", indentation.with_own_indentation),
    ("tabs", indentation.with_own_tabs),
    ("unclosed", without_unclosed),
    ("noise", without_noise),
    ("trailing_blanks", indentation.without_trailing_blanks),
)


def _behind(lines: list[str], count: int) -> str:
    """``lines`` behind the first ``count`` that say something; the first that is left stands at the cursor."""
    place = 0
    while count:
        count -= bool(lines[place].strip())
        place += 1
    left = lines[place:]
    return "\n".join([left[0].lstrip(), *left[1:]])


def _is_begun_again(said: list[str], above: list[str]) -> bool:
    """Whether the last few lines above begin as ``said`` does: a block that goes round and round."""
    starts = range(max(0, len(above) - _ROUND_LINES), len(above) - len(said) + 1)
    is_long = sum(map(len, said)) >= _LEAST_ROUND_CHARS
    return is_long and any(above[start : start + len(said)] == said for start in starts)


def _without_surplus(text: str, gap: InsertionPoint) -> str:
    if gap.spot.region != "code" or gap.language.is_prose or gap.language.block_end_words:
        return text
    if not gap.surplus(text):
        return text
    ends = (place for place, char in enumerate(text) if char in brackets.CLOSERS)
    return next((text[:end] for end in ends if gap.surplus(text[: end + 1])), text)


def _closes(line: str, rest: str, gap: InsertionPoint) -> int | None:
    """Where ``line`` closes what ``rest`` begins with closing: the same brackets, or a quote and brackets behind it."""
    match = _CLOSING_RUN.match(rest)
    if match is None:
        return None
    if rest[0] not in brackets.CLOSERS:
        place = line.find(match.group())
        return place if place >= 0 and len(match.group()) >= _LEAST_RUN_CHARS else None
    depth = 0
    for place, char in enumerate(line):
        if char in brackets.CLOSERS and gap.read(line[:place]).is_code == (gap.spot.region == "code"):
            depth -= 1
            if depth < 0:
                return place if char == rest[0] else None
        elif char in brackets.OPENERS:
            depth += 1
    return None


def _is_unfinished(lines: list[str], gap: InsertionPoint) -> bool:
    """A block that is opened and empty counts too, but for a decorated one: the decorator needs it."""
    state = gap.read("\n".join(lines))
    is_opener = gap.language.has_indented_blocks and syntax_context.opens_block(lines[-1], gap.language)
    is_empty = is_opener and not gap.is_deeper_below(lines[-1]) and not lines[-2].lstrip().startswith("@")
    return bool(state.open_brackets) or state.is_string or is_empty


def _leaves_quote_open(kept: str, closers: str, gap: InsertionPoint) -> bool:
    """True if a quote among the closers ends a string that ``kept`` itself began."""
    state = gap.read(kept)
    return bool(state.closing_delimiter) and state.closing_delimiter in closers and gap.spot.region == "code"
