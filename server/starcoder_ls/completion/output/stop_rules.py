"""Where a suggestion ends: after one statement, or with the block that the cursor has just opened.

The engine calls the stop rule after every token with the whole text so far; the rule returns how many characters of it
to keep, or None to continue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from starcoder_ls.completion.insertion_point import InsertionPoint, has_words
from starcoder_ls.completion.output import auto_closers, unsafe_text
from starcoder_ls.generation import StopRule
from starcoder_ls.languages.language import Language
from starcoder_ls.syntax import brackets

_MAX_UNFINISHED_LINES = 3  # lines that a statement may continue after the line that closes its brackets
_LOOP_PERIODS, _LONG_LOOP_PERIODS = range(4, 49), range(3, 17)
_NUMBERS_OR_RULERS = re.compile(r"[\s\d,.#=*_~+-]*")
_LOOP_CHARS = 200
_MAX_EQUAL_LINES, _MIN_REPEATED_CHARS = 3, 6
_WORDS = re.compile(r"(?<![\\a-z])[a-z]+")  # of a pattern, without its escapes
_CONTINUES = re.compile(r"\??\.|\?\Z")

Rule = Callable[[str, InsertionPoint], int | None]


def build_stop_rule(
    point: InsertionPoint, generated: str = "", on_text: Callable[[str], None] | None = None
) -> StopRule:
    """All enabled rules as one; the rule that keeps the least wins.

    ``generated`` is the beginning of the answer that is part of the prompt: the rules see it, the engine does not.
    ``on_text`` is called after each token with the text so far, without ``generated`` and without what is cut off.
    """
    enabled = [rule for name, rule in RULES if name not in point.disabled_rules]

    def stop(text: str) -> int | None:
        answer = generated + text
        kept = min((chars for rule in enabled if (chars := rule(answer, point)) is not None), default=None)
        if kept is not None:
            kept -= len(generated)
        if on_text is not None:
            on_text(text if kept is None else text[: max(kept, 0)])
        return kept

    return stop


def stop_at_loop(text: str, _point: InsertionPoint) -> int | None:
    """Stop once ``text`` ends with the same characters four times in a row; keep the whole lines before.

    ``0, 0, 0, 0`` and rulers are not loops: the repeated text must have at least four characters, one of them a
    letter; without a letter it must occur eight times.
    """
    periods = _periods_of_end(text)
    if not periods:
        return None
    period, times = _longest_loop(text, periods, _LOOP_PERIODS, 4), 4
    if not any(map(str.isalpha, text[len(text) - period :])) or not period:
        period, times = _longest_loop(text, periods, _LONG_LOOP_PERIODS, 8), 8
        if not period or _NUMBERS_OR_RULERS.fullmatch(text, len(text) - period):
            return None
    return len(text[: len(text) - times * period].rpartition("\n")[0].rstrip())


def _periods_of_end(text: str) -> list[int]:
    """How far before its end the last characters of ``text`` occur, the longest distance first: a loop has one such."""
    length = len(text)
    tail_chars = _LONG_LOOP_PERIODS[0]
    tail, start = text[-tail_chars:], max(0, length - _LOOP_PERIODS[-1] - tail_chars)
    periods, end = [], length - 1
    while len(tail) == tail_chars and (found := text.rfind(tail, start, end)) >= 0:
        periods.append(length - tail_chars - found)
        end = found + tail_chars - 1
    return periods[::-1]


def _longest_loop(text: str, periods: list[int], allowed: range, times: int) -> int:
    """The longest of the allowed ``periods`` with which ``text`` ends ``times`` times; 0 if there is none."""
    length = len(text)
    for period in periods:
        start = length - times * period
        is_allowed = period in allowed and start >= max(0, length - _LOOP_CHARS)
        if is_allowed and text[start : length - period] == text[start + period :]:
            return period
    return 0


def stop_at_repeated_lines(text: str, _point: InsertionPoint) -> int | None:
    """Stop when a line occurs a third time in a row, or two to four lines a second time; keep the first."""
    if text.count("\n") < _MAX_EQUAL_LINES:
        return None
    ends = list(_line_ends(text))
    lines = [text[start:end].strip() for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]
    for size in range(1, 5):
        times = _MAX_EQUAL_LINES if size == 1 else 2
        group = lines[-size:]
        chars = sum(map(len, group))
        has_content = chars >= _MIN_REPEATED_CHARS * size and sum(map(has_words, group)) >= min(size, 2)
        if has_content and len(lines) >= size * times and lines[-size * times :] == group * times:
            return ends[len(lines) - size * (times - 1) - 1]
    return None


def stop_before_next_line(text: str, point: InsertionPoint) -> int | None:
    """Stop before whole lines that the document has below the cursor (see ``InsertionPoint.repeats_below``)."""
    previous_end, lines = text.find("\n"), []
    for end in _line_ends(text, previous_end + 1 or len(text)):
        start, previous_end = previous_end + 1, end
        if text[start:end].strip():
            lines.append((start, text[start:end].rstrip()))
            for count in (1, 2):
                if len(lines) >= count and point.repeats_below([line for _, line in lines[-count:]]):
                    return len(text[: lines[-count][0]].rstrip())
    return None


def stop_after_statement(text: str, point: InsertionPoint) -> int | None:
    """Stop after the first line that has content and leaves neither a bracket nor a statement unfinished.

    The parser decides what is unfinished (``if (x)``, ``a +``); if it says so for several lines, brackets decide.
    """
    if point.syntax.region != "code" or _is_block(text, point):
        return None
    if point.line_after and not auto_closers.ONLY_CLOSERS.fullmatch(point.line_after.strip()):
        if auto_closers.fills_brackets(text, point.line_before, closers := _read_closers(point)):
            closed = auto_closers.first_closed(text, closers, point.language)
            return None if closed is None else closed + 1  # it replaces the bracket right of the cursor
        return end if (end := text.find("\n")) >= 0 else None  # a second line would move the rest of the cursor's line
    first, lines = None, 0
    for end in _line_ends(text, len(text) - len(text.lstrip("\n"))):
        state = point.scan(text[: end + 1])
        lines += first is not None
        is_open = not state.is_code or (state.open_brackets and not point.language.is_prose)
        if is_open or point.is_comment_only(text[:end]):  # the code that a comment is about follows it
            continue
        following = text[end + 1 :].lstrip(" \t")
        if point.line_after and point.brackets_left_open(text[:end]):
            if not following:
                return None  # the next line may close what the editor has closed already
            if _continues_in_brackets(text, end, point):
                continue
        if point.language.has_method_chains and not following and text[:end].rstrip()[-1:] not in ";,{}:":
            return None  # the next line may begin with a dot
        if point.is_complete_statement(text[:end]) and not (
            point.language.has_method_chains and _CONTINUES.match(following)
        ):
            return end
        first = end if first is None else first
        if lines >= _MAX_UNFINISHED_LINES:
            return first
    return None


def stop_after_block(text: str, point: InsertionPoint) -> int | None:
    """Stop a block before a less indented line, after the line that closes it, or before a second blank line."""
    if not _is_block(text, point):
        return None
    opener_width = point.indent_width(point.block_opener)
    min_width = max(point.indent_width(point.line_before) if point.syntax.follows_block_opener else 0, opener_width + 1)
    for end in _line_ends(text):
        if text.startswith("\n\n\n", end):
            return end
        if (next_end := text.find("\n", end + 1)) < 0:
            next_end = len(text)
        line = text[end + 1 : next_end]
        if not line.strip():
            continue
        width = point.indent_width(line)
        if width >= min_width:
            continue
        if next_end == len(text) and width == opener_width and _may_begin_block_end(line.strip(), point.language):
            continue
        if width != opener_width or not _may_close_block(line, point):
            return len(text[:end].rstrip())
        if next_end < len(text) and _closes_block(text[:next_end], line, point):
            return next_end
    return None


def stop_in_prose(text: str, point: InsertionPoint) -> int | None:
    """In a string or comment, stop at the line's end, or behind what ends the string if that follows the cursor too."""
    if point.syntax.region == "code":
        return None
    start = len(text) - len(text.lstrip("\n"))
    terminator = point.syntax.closing_delimiter
    if terminator.strip() and terminator in point.line_after and terminator in text:
        closers = _read_closers(point)
        if closers and closers[0].closes.opener == terminator:
            return auto_closers.first_closed(text, closers, point.language)
        closed = next((index for index in range(len(text)) if point.scan(text[: index + 1]).is_code), None)
        if closed is not None:
            return closed + 1 - len(terminator)
    return next(_line_ends(text, start), None)


def stop_at_max_lines(text: str, point: InsertionPoint) -> int | None:
    """Stop after ``max_lines`` lines of the insertion point."""
    for number, end in enumerate(_line_ends(text), 1):
        if number >= point.max_lines:
            return end
    return None


RULES: tuple[tuple[str, Rule], ...] = (
    ("special_tokens", unsafe_text.find_special_token),
    ("hidden_characters", unsafe_text.find_hidden_character),
    ("loop", stop_at_loop),
    ("said_again", stop_at_repeated_lines),
    ("next_line", stop_before_next_line),
    ("statement", stop_after_statement),
    ("block", stop_after_block),
    ("prose", stop_in_prose),
    ("lines", stop_at_max_lines),
)
"""By the names that `inline_completion.rules_off` has for them."""


def _read_closers(point: InsertionPoint) -> list[auto_closers.Closer]:
    delimiter = point.syntax.closing_delimiter
    return auto_closers.read_closers(point.line_after, point.line_before, point.language, delimiter)


def _continues_in_brackets(text: str, end: int, point: InsertionPoint) -> bool:
    """Whether the line after ``end`` belongs to the brackets that the cursor's line opens and the editor has closed."""
    line = text[end + 1 :].partition("\n")[0]
    is_deeper = point.indent_width(line) > point.indent_width(point.line_before)
    is_unfinished = text[:end].rstrip()[-1:] in ("", *",([{")
    return is_unfinished or line.lstrip()[:1] in tuple(brackets.CLOSERS) or (text.startswith("\n") and is_deeper)


def _is_block(text: str, point: InsertionPoint) -> bool:
    """The cursor is on the line below a block opener, or on the opener and the text continues on the next line."""
    return point.syntax.follows_block_opener or bool(point.block_opener and text.lstrip(" \t").startswith("\n"))


def _may_close_block(line: str, point: InsertionPoint) -> bool:
    """``line`` begins with what closes blocks; in languages with indented blocks only if a bracket was opened."""
    is_open = not point.language.has_indented_blocks or bool(
        brackets.scan(point.block_opener, point.language).open_brackets
    )
    return is_open and re.match(point.language.block_closer, line.lstrip()) is not None


def _may_begin_block_end(text: str, language: Language) -> bool:
    """Whether ``text`` may become a word that closes a block (``do`` of ``done``)."""
    return any(word.startswith(text) for word in _WORDS.findall(language.block_closer))


def _closes_block(text: str, line: str, point: InsertionPoint) -> bool:
    """``line``, the last of ``text``, closes the block and opens no other (``} else {``)."""
    if point.language.block_end_words:
        return re.match(rf"\s*(?:{'|'.join(point.language.block_end_words)}|\}})\b", line) is not None
    state = brackets.scan(text, point.language)
    return bool(state.unmatched_closers) and not state.open_brackets


def _line_ends(text: str, start: int = 0) -> Iterator[int]:
    end = text.find("\n", start)
    while end >= 0:
        yield end
        end = text.find("\n", end + 1)
