"""Finds the function (or class) around an offset in a language with braces: a statement that has a block.

A statement begins behind the previous semicolon, block or directive; where semicolons are optional, behind the previous
line too. A brace in a regular expression or a macro, and branches of a preprocessor, can mislead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from starcoder_ls.languages.language import Language

_MAX_CHARS, _MAX_TOKENS = 500_000, 50_000
"""In longer texts no function is found: they are generated, and the event loop would be held."""
_MAX_HEAD_CHARS = 2000
"""Of the text between the beginning of a statement and its brace."""

_STRINGS = r"\"\"\".*?(?:\"\"\"|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'(?:\\[^\n']{1,8}|[^\\'\n])'"
_SINGLE_QUOTED_STRING = re.compile(r"'(?:\\.|[^'\\\n])*+('?)")  # an unfinished one is skipped, not searched again
_SHEBANG = r"\A#![^\[\r\n][^\r\n]*"
_LABEL = r"^[ \t]*(?:case\b[^\n;{}]*?|default|(?:public|private|protected|signals)(?:[ \t]+\w+)?)[ \t]*(?<!:):(?!:)"
_LINE_END = (
    r"(?<! =)(?<!=>)(?<!<-)(?<!&&)(?<![<|\\\r])[ \t]*(?:\r\n?|\n)\s*+"
    r"(?![{)\]>.,:&|?]|->|=>|(?:where|extends|implements|with|throws|rethrows)\b)"
)
_TYPE_PARAMETERS = r"<(?=[ \t]*[\r\n])|^[ \t]*>(?=\(|[ \t]+(?:\{|extends\b|implements\b))"  # over several lines
_REST_OF_LINE = re.compile(r"[^\r\n]*")

_CONTROL_STATEMENT = re.compile(
    r"(?:@(?:try|catch|finally|synchronized|autoreleasepool)|if|else|for|foreach|while|switch|case|do|try|catch|finally|"
    r"synchronized|(?:lock|using|fixed)(?= \()|namespace|return|with|(?:unsafe|static)(?=\s*\Z))\b"
)
_FUNCTION_KEYWORD = re.compile(r"\b(?:fn|func|fun|function|sub|proc)\b")
_TYPE_KEYWORD = re.compile(r"\b(?:class|struct|interface|trait|impl|enum|record|object|protocol)\b")
_BEFORE_VALUE = re.compile(r"(?:[=(,:\[?|&+<$@%#!^]\s*|->|(?<!const)(?<!override)(?<!noexcept)[\w}\]])\Z")
_BEFORE_NESTED_FUNCTION = re.compile(r"(?:\)|[=-]>)\s*\Z")
_REST_OF_EXPRESSION = re.compile(r"\s*([),:=\].{|&>\[])")
_ANNOTATION = re.compile(r"[ \t]*@[\w.:]+(?:\(.*\))?[ \t]*")


def find_in_braces(text: str, offset: int, language: Language) -> tuple[int, int] | None:
    """The whole lines of the innermost function around ``offset``; of a class if there is no function; else None."""
    candidates: list[tuple[bool, int, tuple[int, int]]] = []
    for statement, blocks in _find_blocks(text, language).items():
        end = blocks[-1].end
        if end < offset:
            continue
        start = _match_end(_blanks_and_comments(language), text, statement)
        line_start = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
        near = [block for block in blocks if block.brace - start <= _MAX_HEAD_CHARS]
        is_function = any(_is_function(text[start : block.brace], block, language) for block in near)
        is_type = not is_function and bool(near and _TYPE_KEYWORD.search(text, start, near[0].brace))
        if line_start <= offset and (is_function or is_type):
            candidates.append((is_type, end - line_start, (line_start, _match_end(_REST_OF_LINE, text, end))))
    return min(candidates)[2] if candidates else None


@dataclass(slots=True)
class _Block:
    statement: int  # the offset where the statement begins that the block is part of
    brace: int
    depth: int  # of parentheses that are open before the brace
    is_value: bool  # as it follows an operator or a name, such as `= {`
    end: int = 0


@dataclass(slots=True)
class _Scan:
    """The state between two tokens, and the blocks so far by the beginnings of their statements."""

    text: str
    language: Language
    statement: int = 0
    depth: int = 0
    line: int = 0
    outer: list[_Block] = field(default_factory=list)
    blocks: dict[int, list[_Block]] = field(default_factory=dict)

    def open_block(self, brace: int) -> None:
        before = self.text[max(self.statement, brace - 40) : brace]
        self.outer.append(_Block(self.statement, brace, self.depth, bool(_BEFORE_VALUE.search(before))))
        self.begin_statement(brace + 1)

    def close_block(self, end: int) -> None:
        block = self.outer.pop() if self.outer else None
        self.begin_statement(end)
        if block is None:
            return
        block.end = end
        self.blocks.setdefault(block.statement, []).append(block)
        is_value_in_brackets = block.is_value and block.depth > 0
        rest = _REST_OF_EXPRESSION.match(self.text, end) if block.is_value or block.depth else None
        is_next_member = bool(rest and rest[1] == "," and not block.depth and self.language.has_optional_semicolons)
        if is_value_in_brackets or (rest and not is_next_member):
            self.statement, self.depth = block.statement, block.depth

    def end_line(self, start: int, end: int) -> None:
        is_annotation = _ANNOTATION.fullmatch(self.text, self.line, start)
        is_at_margin = self.text[end - 1] in "\r\n"
        if (self.depth == 0 or is_at_margin) and not is_annotation:
            self.begin_statement(end)
        self.line = end

    def begin_statement(self, start: int) -> None:
        self.statement, self.depth = start, 0


def _find_blocks(text: str, language: Language) -> dict[int, list[_Block]]:
    """The blocks of each statement, in order; none if the text is too long."""
    if len(text) > _MAX_CHARS:
        return {}
    tokens = _tokens(language)
    quoted = _single_quoted_strings(text) if language.has_single_quoted_strings else {}
    scan, position = _Scan(text, language), 0
    for _ in range(_MAX_TOKENS):
        match = tokens.search(text, position)
        if match is None:
            return scan.blocks
        position = max(match.end(), quoted.get(match.start(), 0))
        if match.lastgroup == "bracket":
            scan.depth = max(0, scan.depth + (1 if match[0] in "(<" else -1))
        elif match.lastgroup == "opening":
            scan.open_block(match.start())
        elif match.lastgroup == "closing":
            scan.close_block(position)
        elif match.lastgroup == "line_end":
            scan.end_line(match.start(), position)
        elif match.lastgroup == "end" and scan.depth == 0:
            scan.begin_statement(position)
    return {}


def _is_function(head: str, block: _Block, language: Language) -> bool:
    if _CONTROL_STATEMENT.match(head):
        return False
    if language.function_head:
        return bool(re.search(language.function_head, head))
    is_body = _BEFORE_NESTED_FUNCTION.search(head) if block.depth else not block.is_value
    return bool(_FUNCTION_KEYWORD.search(head) or ("(" in head and is_body))


@cache
def _tokens(language: Language) -> re.Pattern[str]:
    ends = "|".join(filter(None, (_SHEBANG, language.directive, _LABEL, ";")))
    has_long_backquoted = "`" in language.multiline_quotes or not language.line_comments
    backquoted = r"`(?:\\.|[^`\\])*`?" if has_long_backquoted else r"`[^`\r\n]*`"
    bracket, line_end = r"[()]", ""
    if language.has_optional_semicolons:
        bracket, line_end = rf"[()]|{_TYPE_PARAMETERS}", f"|(?P<line_end>{_LINE_END})"
    return re.compile(
        f"(?P<end>{ends})|{_comments(language)}|{_STRINGS}|{backquoted}"
        rf"|(?P<bracket>{bracket})|(?P<opening>{{)|(?P<closing>}}){line_end}",
        re.DOTALL | re.MULTILINE,
    )


@cache
def _blanks_and_comments(language: Language) -> re.Pattern[str]:
    return re.compile(rf"(?:\s+|{_comments(language)})*", re.DOTALL | re.MULTILINE)


def _comments(language: Language) -> str:
    """A pattern for one comment. Languages without line comments, such as Vue's, contain scripts."""
    blocks = language.block_comments if language.line_comments else {*language.block_comments, ("/*", "*/")}
    lines = (re.escape(mark) for mark in language.line_comments or ("//",))
    return "|".join(
        [
            *(rf"{re.escape(opening)}.*?(?:{re.escape(closing)}|\Z)" for opening, closing in blocks),
            *(rf"(?<!\S){mark}(?!\[)[^\r\n]*" if mark == r"\#" else rf"{mark}[^\r\n]*" for mark in lines),
        ]
    )


def _single_quoted_strings(text: str) -> dict[int, int]:
    """The ends of the strings by their starts."""
    return {match.start(): match.end() for match in _SINGLE_QUOTED_STRING.finditer(text) if match[1]}


def _match_end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start
