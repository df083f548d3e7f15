"""The filters that a generated text passes before it is shown: pure functions in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Callable

from starcoder_ls.completion.insertion_point import InsertionPoint, has_words
from starcoder_ls.completion.output import auto_closers, indentation, unsafe_text
from starcoder_ls.completion.output.delimiters import QUOTES
from starcoder_ls.generation import FinishReason
from starcoder_ls.hidden_characters import strip_incomplete_end
from starcoder_ls.syntax import brackets, syntax_context

_CLOSING_LINE = re.compile(r"\s*(?:[)\]}>;,]+|fi|done|esac|end;?|</[\w-]+>)\s*")
_HALF_WORD = re.compile(r"\w+$")
_CLOSERS = re.compile(r"[)\]}\"'`>]+")
_MIN_CLOSERS = 2
_MIN_OVERLAP_CHARS = 3
_MIN_ECHO_CHARS = 6
_MAX_LOOP_LINES, _MIN_LOOP_CHARS = 8, 16

Filter = Callable[[str, InsertionPoint], str]


def apply_filters(text: str, point: InsertionPoint, finish_reason: FinishReason) -> str:
    """What to insert at ``point``; empty if nothing is worth it."""
    if finish_reason in (FinishReason.LENGTH, FinishReason.DEADLINE):
        text = _drop_cut_off_end(text, point)
    for name, apply in FILTERS:
        if name not in point.disabled_rules:
            text = apply(text, point)
    if "hidden_characters" not in point.disabled_rules:
        text = strip_incomplete_end(text)
    return text if text.strip() else ""


def _drop_cut_off_end(text: str, point: InsertionPoint) -> str:
    """``text`` without the special token, the line or the word in which it was cut off."""
    if "special_tokens" not in point.disabled_rules:
        before_token = unsafe_text.drop_unfinished_token(text, point)
        if before_token != text:  # what precedes a special token is complete
            return before_token
    return text if "half_words" in point.disabled_rules else drop_unfinished_end(text)


def drop_unfinished_end(text: str) -> str:
    """``text``, cut off by length or time, without its last line, or without its last word if it is one line."""
    head, newline, _ = text.rpartition("\n")
    if newline and head.strip():
        return head
    return _HALF_WORD.sub("", text)


def remove_echo(text: str, point: InsertionPoint) -> str:
    """Remove a repetition of the text before the cursor on its line (some models start the line again)."""
    line = point.line_before.strip()
    if len(line) < _MIN_ECHO_CHARS or not has_words(line) or point.syntax.region != "code":
        return text
    stripped = text.lstrip()
    if not stripped.startswith(line) or (line[-1].isalnum() and stripped[len(line) : len(line) + 1].isalnum()):
        return text
    rest = stripped[len(line) :]
    return rest.lstrip() if point.line_before[-1:].isspace() else rest


def remove_lines_above(text: str, point: InsertionPoint) -> str:
    """Remove first lines that repeat the lines above the cursor; a text that only repeats these becomes empty."""
    if not (point.is_at_line_start or text.startswith("\n")):
        return text
    lines = text.split("\n")
    content = [line.strip() for line in lines if line.strip()]
    above = [line.strip() for line in point.lines_above[-max(len(content), _MAX_LOOP_LINES) :]]
    above += [] if point.is_at_line_start else [point.line_before.strip()]
    for count in range(min(len(content), len(above)), 0, -1):
        if content[:count] == above[-count:] and has_words("".join(content[:count])):
            is_repetition_only = count == len(content) or not point.is_at_line_start
            return "" if is_repetition_only else _drop_lines(lines, count)
    is_loop = point.is_at_line_start and not point.syntax.follows_block_opener and _repeats_block(content, above)
    return "" if is_loop else text


def remove_lines_below(text: str, point: InsertionPoint) -> str:
    """Remove lines at the end that the document already has below the cursor's line."""
    lines = text.split("\n")
    terminator = point.syntax.closing_delimiter
    if terminator.strip() and point.lines_below[:1] and text.strip() == point.lines_below[0].strip() == terminator:
        return ""  # the end of the string or comment stands there already
    min_lines = 0 if point.is_at_line_start and not point.line_after else 1
    for count in range(len(lines) - min_lines, 0, -1):
        tail = [line.rstrip() for line in lines[-count:]]
        tail = [point.line_before + tail[0], *tail[1:]] if count == len(lines) else tail
        tail = [line for line in tail if line.strip()]
        is_next = tail == point.lines_below[: len(tail)] and has_words("".join(tail))
        if is_next or ((count > 1 or len(lines) > 1) and point.repeats_below(tail)):
            return "\n".join(lines[:-count])
    return text


def remove_closing_line(text: str, point: InsertionPoint) -> str:
    """Remove a last line that closes what the document opened, if the document's next line closes it already."""
    head, newline, last = text.rpartition("\n")
    if not newline or not _CLOSING_LINE.fullmatch(last):
        return text
    below = point.lines_below
    if not below or not below[0].startswith(last.rstrip()):
        return text
    if last.strip()[0] in brackets.CLOSERS:
        closes_own = not point.scan(text).unmatched_closers
    else:
        width = point.indent_width(last)
        closes_own = any(line.strip() and point.indent_width(line) <= width for line in head.split("\n")[1:])
    return text if closes_own else head


def remove_rest_of_line(text: str, point: InsertionPoint) -> str:
    """Remove a repetition of the text right of the cursor, or of its beginning."""
    rest = point.line_after.strip()
    if not rest or not text or auto_closers.ONLY_CLOSERS.fullmatch(rest):
        return text
    closers = read_closers(point)
    if point.syntax.region == "code" and auto_closers.fills_brackets(text, point.line_before, closers):
        closed = auto_closers.first_closed(text, closers, point.language)
        return "" if closed is None else text[: closed + 1]
    first, newline, _ = text.partition("\n")
    index = first.rstrip().rfind(rest)
    if closers and index >= 0 and first.rstrip().endswith(rest):
        kept = first[:index]
        if point.is_in_string and auto_closers.leaves_closers(kept, closers, point.language):
            return kept
    if (closer := _find_closer_of_rest(first, rest, point)) is not None:
        return first[:closer]
    is_long = len(rest) >= _MIN_OVERLAP_CHARS  # a shorter text occurs in a line by chance
    if index >= 0 and (first.rstrip().endswith(rest) or (newline and is_long)):
        return first[:index]
    for length in range(min(len(first), len(point.line_after)), _MIN_OVERLAP_CHARS - 1, -1):
        if first.endswith(point.line_after[:length]):
            return first[:-length]
    return text


def remove_closers(text: str, point: InsertionPoint) -> str:
    """Remove closers that the editor has inserted right of the cursor, and closers that match no open bracket.

    Closers of brackets that ``text`` itself opens stay.
    """
    text = _cut_before_unmatched_closer(text, point)
    rest = point.line_after.strip()
    if not rest or not auto_closers.ONLY_CLOSERS.fullmatch(rest):
        return text
    first = text.split("\n", 1)[0].rstrip()
    for length in range(min(len(first), len(rest)), 0, -1):
        if first.endswith(rest[:length]):
            kept = first[:-length]
            if _fits_before_closers(kept, rest[:length], point):
                return kept
    return text


def drop_unclosed_lines(text: str, point: InsertionPoint) -> str:
    """Cut several lines that end inside a bracket, string or block of their own back to those that are complete.

    At least one line stays, whose end is still to come; but not if all it does is open a string.
    """
    if "\n" not in text or point.syntax.region != "code" or point.language.is_prose:
        return text
    lines = text.split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or _is_unfinished(lines, point)):
        lines.pop()
    kept = "\n".join(lines)
    return kept if has_words(kept) or len(kept) == len(text) or point.scan(kept).is_code else ""


def drop_noise(text: str, point: InsertionPoint) -> str:
    """Drop a text of opening brackets only, a comment without words, and a comment where the code has none."""
    marks = point.language.line_comments
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if point.syntax.region != "code" or not lines:
        return text
    if point.is_at_line_start and all(char in brackets.OPENERS or char.isspace() for char in text):
        return ""
    if not marks or not all(line.startswith(marks) for line in lines):
        return text
    neighbours = point.lines_above[-1:] + point.lines_below[:1]
    is_commenting = point.is_at_line_start and any(line.strip().startswith(marks) for line in neighbours)
    return text if is_commenting and has_words(text) else ""


FILTERS: tuple[tuple[str, Filter], ...] = (
    ("echo", remove_echo),
    ("lines_above", remove_lines_above),
    ("lines_below", remove_lines_below),
    ("closing_line", remove_closing_line),
    ("rest_of_line", remove_rest_of_line),
    ("closers", remove_closers),
    ("indentation", indentation.match_indentation),
    ("tabs", indentation.convert_indent_characters),
    ("unclosed", drop_unclosed_lines),
    ("noise", drop_noise),
    ("trailing_blanks", indentation.strip_trailing_blanks),
)
"""By the names that `inline_completion.rules_off` has for them."""


def _drop_lines(lines: list[str], count: int) -> str:
    """``lines`` without those up to the ``count``-th that is not blank; the first that stays begins at the cursor."""
    index = 0
    while count:
        count -= bool(lines[index].strip())
        index += 1
    kept = lines[index:]
    return "\n".join([kept[0].lstrip(), *kept[1:]])


def _repeats_block(content: list[str], above: list[str]) -> bool:
    """Whether ``content`` occurs in the last few lines above: the model is repeating a block in a loop.

    A single line that ends in a comma counts only if it follows the same line there: the entries of a table have lines
    in common.
    """
    starts = range(max(0, len(above) - _MAX_LOOP_LINES), len(above) - len(content) + 1)
    is_long = sum(map(len, content)) >= _MIN_LOOP_CHARS
    repeated = [start for start in starts if above[start : start + len(content)] == content]
    if len(content) == 1 and content[0].endswith(","):
        repeated = [start for start in repeated if start and above[start - 1] == above[-1]]
    return is_long and bool(repeated)


def _cut_before_unmatched_closer(text: str, point: InsertionPoint) -> str:
    if point.syntax.region != "code" or point.language.is_prose or point.language.block_end_words:
        return text
    if not any(closer in text for closer in brackets.CLOSERS) or not point.unmatched_closers(text):
        return text
    ends = (index for index, char in enumerate(text) if char in brackets.CLOSERS)
    return next((text[:end] for end in ends if point.unmatched_closers(text[: end + 1])), text)


def _find_closer_of_rest(line: str, rest: str, point: InsertionPoint) -> int | None:
    """Where ``line`` closes what ``rest`` begins with closing: brackets, or a quote and the brackets after it."""
    match = _CLOSERS.match(rest)
    if match is None:
        return None
    is_typed = point.is_in_string if rest[0] in QUOTES else rest[0] == ">"
    if is_typed and (closers := read_closers(point)):
        return auto_closers.first_closed(line, closers, point.language)
    if rest[0] not in brackets.CLOSERS:
        index = line.find(match.group())
        return index if index >= 0 and len(match.group()) >= _MIN_CLOSERS else None
    depth = 0
    for index, char in enumerate(line):
        if char in brackets.CLOSERS and point.scan(line[:index]).is_code == (point.syntax.region == "code"):
            depth -= 1
            if depth < 0:
                return index if char == rest[0] else None
        elif char in brackets.OPENERS:
            depth += 1
    return None


def _is_unfinished(lines: list[str], point: InsertionPoint) -> bool:
    """Whether ``lines`` end inside a bracket or string, or open an empty block (unless it is decorated)."""
    state = point.scan("\n".join(lines))
    is_opener = point.language.has_indented_blocks and syntax_context.opens_block(lines[-1], point.language)
    is_empty = is_opener and not point.is_parent_of_line_below(lines[-1]) and not lines[-2].lstrip().startswith("@")
    return bool(state.open_brackets) or state.is_string or is_empty


def read_closers(point: InsertionPoint) -> list[auto_closers.Closer]:
    """The closing brackets and quotes right of the cursor, with what they close."""
    delimiter = point.syntax.closing_delimiter
    return auto_closers.read_closers(point.line_after, point.line_before, point.language, delimiter)


def _fits_before_closers(kept: str, closers: str, point: InsertionPoint) -> bool:
    """Whether ``kept`` leaves open just what it found open, so that ``closers`` right of the cursor can stay."""
    if typed := read_closers(point):
        return auto_closers.leaves_closers(kept, typed, point.language)
    state = point.scan(kept)
    ends_own_string = bool(state.closing_delimiter) and state.closing_delimiter in closers
    return not state.open_brackets and not (ends_own_string and point.syntax.region == "code")
