"""The syntax at a cursor: code, string or comment; inside a call's arguments; at the beginning of a block.

The syntax tree decides where it is sound at the cursor, the bracket scanner where a half-typed line has broken it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import brackets, grammars

_MAX_SCANNED_CHARS = 60_000  # 1.5 ms of scanning
_SCAN_STEP_CHARS, _MAX_STEPWISE_CHARS = 30_000, 400_000
"""A longer text is scanned in steps, one at each key, and cached. Until its end is reached, or if it is too long for
that, a string or comment that begins before the last _MAX_SCANNED_CHARS is not recognised."""
_TREE_CHARS = 2_000  # parsed on both sides of the cursor: 0.4 ms
STATEMENT_CHARS = 1_200  # parsed between two tokens: 0.1 ms
_STRING_NODES = re.compile(r"string|template|heredoc|raw_text|char_literal|rune|text$")
_COMMENT_NODES = re.compile(r"comment")
_CODE_IN_STRING_NODES = re.compile(r"interpolation|substitution|expansion")
_CALL_OPENER = re.compile(r"[\w\])>]\($")

Region = Literal["code", "string", "comment"]


@dataclass(frozen=True, slots=True)
class SyntaxContext:
    """``closing_delimiter`` closes the string or comment that the cursor is in. ``open_brackets``: before the cursor.

    ``follows_block_opener``: the cursor stands on a blank line, right below a line that opens a block.
    ``is_in_call_arguments``: the innermost open bracket is that of a call.
    """

    region: Region = "code"
    closing_delimiter: str = ""
    open_brackets: str = ""
    follows_block_opener: bool = False
    is_in_call_arguments: bool = False


def context_at(before: str, after: str, language_id: str) -> SyntaxContext:
    """The syntax between two texts with line feeds; ``before`` should reach back to the document's beginning."""
    language = by_id(language_id)
    state, is_whole = _scan_before(before, language)
    region: Region = "code" if state.is_code else "comment" if state.is_comment else "string"
    if language.grammar and not language.is_prose and not _is_certain(state, before, is_whole, language):
        region = _region_from_tree(before, after, language_id) or region
    line_before = before[before.rfind("\n") + 1 :]
    if region == "string" and _is_in_interpolation(line_before, state.closing_delimiter, language):
        region = "code"
    is_code = region == "code"
    agrees_with_scan = (region == "comment") == state.is_comment
    return SyntaxContext(
        region,
        state.closing_delimiter if agrees_with_scan and not is_code else "",
        state.open_brackets,
        is_code and follows_block_opener(before, language),
        is_code
        and state.open_brackets[-1:] == "("
        and bool(_CALL_OPENER.search(_up_to_open_bracket(line_before[-_TREE_CHARS:]))),
    )


def _scan_before(before: str, language: Language) -> tuple[brackets.ScanState, bool]:
    """The state at the end of ``before``, and whether all of it was scanned."""
    if len(before) <= _MAX_SCANNED_CHARS:
        return brackets.scan_incrementally(before, language), True
    if len(before) <= _MAX_STEPWISE_CHARS:
        state = brackets.scan_stepwise(before, language, _SCAN_STEP_CHARS)
        if state is not None:
            return state, True
    return brackets.scan_incrementally(_last_chars(before), language), False


def _is_call(line_before: str) -> bool:
    """Whether the innermost bracket that is open at the end of a line is that of a call."""
    return _CALL_OPENER.search(_up_to_open_bracket(line_before)) is not None


def _is_in_interpolation(line_before: str, delimiter: str, language: Language) -> bool:
    """Whether the cursor is in code inside the string that ``delimiter`` has opened on its line."""
    head, quote, tail = line_before.rpartition(delimiter) if delimiter else ("", "", "")
    pattern = language.interpolated_string
    if not (quote and pattern and re.search(rf"(?:{pattern})\Z", head + quote)):
        return False
    if language.interpolation == "{":
        tail = tail.replace("{{", "").replace("}}", "")
    closer = brackets.CLOSERS[brackets.OPENERS.index(language.interpolation[-1])]
    return tail.count(language.interpolation) > tail.count(closer)


def _is_certain(state: brackets.ScanState, before: str, is_whole: bool, language: Language) -> bool:
    """Whether the scan is right without asking the tree. A tree costs 0.3 ms per keystroke.

    Checked against Python's own tokenizer at 40,000 cursors of installed packages: where this is true and the tree
    disagreed with the scan, the tree was wrong at 72 cursors and right at 17, all inside the quotes or the prefix that
    begin a string.
    """
    if state.is_comment and state.closing_delimiter == "\n":
        return True
    if not language.is_scanner_exact or not is_whole:
        return False
    if state.is_code:
        return True
    nearby = before[before.rfind("\n") + 1 :] if len(state.closing_delimiter) == 1 else before[-_TREE_CHARS:]
    return "{" not in nearby  # an f-string contains code


def follows_block_opener(before: str, language: Language) -> bool:
    """Whether the cursor stands on a blank line right below a line that opens a block."""
    line_start = before.rfind("\n") + 1
    if not line_start or before[line_start:].strip():
        return False
    return opens_block(before[: line_start - 1].rstrip().rpartition("\n")[2], language)


def opens_block(line: str, language: Language) -> bool:
    """Whether ``line`` ends with what opens a block, possibly followed by a comment."""
    for mark in language.line_comments:
        code, found, _ = line.partition(f" {mark}")
        if found and brackets.scan(code, language).is_code:
            line = code
    return re.search(rf"(?:{language.block_opener})\s*\Z", line) is not None


def is_complete(before: str, text: str, language_id: str) -> bool | None:
    """Whether the statement at the end of ``text`` is complete; None if there is no tree to decide it.

    ``before`` should come from ``trim_to_code``. What it leaves open is closed for the parser, and only errors from the
    cursor's line on count.
    """
    language = by_id(language_id)
    if not language.grammar or language.is_prose or language.block_end_words:
        return None
    source = before + text.rstrip()
    state = brackets.scan(source + "\n", language)
    if not state.is_code:
        return False
    closers = "".join(brackets.CLOSERS[brackets.OPENERS.index(bracket)] for bracket in reversed(state.open_brackets))
    start_byte = len(grammars.encode(before.rpartition("\n")[0]))
    tree = grammars.parse(grammars.encode(f"{source}\n{closers}\n"), language_id)
    return None if tree is None else not _has_error_from(tree.root_node, start_byte, len(grammars.encode(source)))


def trim_to_code(before: str, language_id: str, max_chars: int = STATEMENT_CHARS) -> str:
    """The end of ``before``, starting in code: a parser would take the end of a docstring for its beginning."""
    if len(before) <= max_chars:
        return before
    language = by_id(language_id)
    start = before.find("\n", len(before) - max_chars) + 1 or len(before)
    state, _ = _scan_before(before[:start], language)
    if state.closing_delimiter:
        end = before.find(state.closing_delimiter, start)
        start = len(before) if end < 0 else end + len(state.closing_delimiter)
    return before[start:]


def _has_error_from(node: grammars.Node, start_byte: int, end_byte: int) -> bool:
    """Whether an erroneous or missing node begins between two bytes, in a node that reaches beyond the first."""
    if node.is_missing or node.is_error:
        return start_byte <= node.start_byte <= end_byte + 1  # a missing node may be placed after the line end
    if not node.has_error:
        return False
    return any(_has_error_from(child, start_byte, end_byte) for child in node.children if child.end_byte >= start_byte)


def _touches_error(node: grammars.Node, start_byte: int, end_byte: int) -> bool:
    """Whether an erroneous or missing node overlaps the range between two bytes."""
    if node.start_byte > end_byte or node.end_byte < start_byte or not (node.has_error or node.is_missing):
        return False
    return (
        node.is_error or node.is_missing or any(_touches_error(child, start_byte, end_byte) for child in node.children)
    )


def _last_chars(before: str) -> str:
    return before if len(before) <= _MAX_SCANNED_CHARS else before[-_MAX_SCANNED_CHARS:].partition("\n")[2]


def _up_to_open_bracket(line: str) -> str:
    """``line`` up to the innermost bracket that is open at its end."""
    depth = 0
    for offset in range(len(line) - 1, -1, -1):
        depth += (line[offset] in brackets.CLOSERS) - (line[offset] in brackets.OPENERS)
        if depth < 0:
            return line[: offset + 1]
    return line


def _region_from_tree(before: str, after: str, language_id: str) -> Region | None:
    """What the nodes at the cursor are; None if the tree has an error on the cursor's line."""
    code_before = trim_to_code(before, language_id, _TREE_CHARS)
    if before and not code_before:  # the cursor is inside something longer
        return None
    tree = grammars.parse(grammars.encode(code_before + after[:_TREE_CHARS]), language_id)
    if tree is None:
        return None
    cursor, line_start = len(grammars.encode(code_before)), len(grammars.encode(code_before.rpartition("\n")[0]))
    if _touches_error(tree.root_node, line_start, cursor + len(grammars.encode(after.partition("\n")[0]))):
        return None
    region: Region = "code"
    node: grammars.Node | None = tree.root_node.descendant_for_byte_range(cursor, cursor)
    while node is not None:
        if node.start_byte < cursor < node.end_byte and node.is_named:
            if _CODE_IN_STRING_NODES.search(node.type):
                return region
            if _COMMENT_NODES.search(node.type):
                return "comment"
            if _STRING_NODES.search(node.type):
                region = "string"
        node = node.parent
    return region
