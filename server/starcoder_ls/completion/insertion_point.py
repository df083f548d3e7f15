"""Where a suggestion is inserted, as stop rules and filters see it: both sides with line feeds, language and syntax.

Computes, once, what several rules need.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import by_id
from starcoder_ls.settings import MAX_LINES
from starcoder_ls.syntax import syntax_context
from starcoder_ls.syntax.brackets import CLOSERS, ScanState, scan
from starcoder_ls.syntax.syntax_context import SyntaxContext

_BLANKS_PER_TAB = 4
_DEFAULT_INDENT_UNIT = " " * 4
_NEARBY_LINES, _MIN_UNIQUE_CHARS = 8, 16
_ATTRIBUTE = re.compile(r"[\w:@.-]=\s*([\"'])(?:(?!\1)[^<>])*\Z")
_MAX_LINES = 400  # enough to tell tabs from blanks


@dataclass(frozen=True)
class InsertionPoint:
    """``disabled_rules`` are the names of stop rules and filters that the settings switch off."""

    before: str
    after: str
    language_id: str = ""
    syntax: SyntaxContext = field(default=SyntaxContext())
    disabled_rules: Collection[str] = frozenset()
    parsable_before: str | None = None
    """The end of the text before the cursor, starting at a position that is code."""

    max_lines: int = MAX_LINES
    """How many lines a suggestion may have."""

    @classmethod
    def at(
        cls,
        before: str,
        after: str,
        language_id: str,
        disabled_rules: Collection[str] = (),
        whole: str | None = None,
        max_lines: int = MAX_LINES,
    ) -> InsertionPoint:
        """``whole`` is all of the document up to the cursor: a comment may start above ``before``, which is its end."""
        whole = before if whole is None else whole
        syntax = syntax_context.context_at(whole, after, language_id)
        parsable_before = syntax_context.trim_to_code(whole, language_id)
        return cls(before, after, language_id, syntax, frozenset(disabled_rules), parsable_before, max_lines)

    @cached_property
    def language(self) -> Language:
        return by_id(self.language_id)

    @cached_property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.before.rpartition("\n")[2]

    @cached_property
    def line_after(self) -> str:
        """The cursor's line from the cursor on, without blanks at its end."""
        return self.after.partition("\n")[0].rstrip()

    @property
    def is_at_line_start(self) -> bool:
        """Only blanks stand before the cursor on its line."""
        return not self.line_before.strip()

    @cached_property
    def lines_above(self) -> list[str]:
        """The lines above that are not blank, the nearest last."""
        return [line.rstrip() for line in self.before.split("\n")[-_MAX_LINES:-1] if line.strip()]

    @cached_property
    def lines_below(self) -> list[str]:
        """The lines below that are not blank, the nearest first."""
        return [line.rstrip() for line in self.after.split("\n")[1:] if line.strip()]

    @cached_property
    def block_opener(self) -> str:
        """The line that opens the block whose first line is to be written; empty in the middle of a block."""
        if self.syntax.follows_block_opener:
            return self.lines_above[-1] if self.lines_above else ""
        is_opener = (
            self.syntax.region == "code"
            and not self.line_after.strip(")]};,")
            and syntax_context.opens_block(self.line_before, self.language)
        )
        return self.line_before if is_opener else ""

    @property
    def indent_unit(self) -> str:
        """One level of indentation: a tab, or a number of blanks; four blanks where nothing shows it."""
        return self.shown_indent_unit or _DEFAULT_INDENT_UNIT

    @cached_property
    def shown_indent_unit(self) -> str:
        """One level of indentation as the language demands it or the document has it; empty if neither shows it."""
        if self.language.requires_tabs:
            return "\t"
        candidates = (*self.lines_above, self.line_before, *self.lines_below[:_MAX_LINES])
        lines = [line for line in candidates if line[:1] in (" ", "\t")]
        if sum(line[0] == "\t" for line in lines) * 2 > len(lines):
            return "\t"
        widths = [len(line) - len(line.lstrip()) for line in lines if line[0] == " "]
        return " " * min((width for width in widths if width > 1), default=0)

    def scan(self, text: str) -> ScanState:
        """The brackets and the string or comment that ``text``, inserted here, opens and leaves open."""
        syntax = self.syntax
        if syntax.region == "code":
            initial = ScanState(self.unclosed_brackets)
        else:
            initial = ScanState(closing_delimiter=syntax.closing_delimiter, is_comment=syntax.region == "comment")
        preceding = self.line_before[-2:]
        return scan(preceding + text, self.language, initial, len(preceding))

    def brackets_left_open(self, text: str) -> str:
        """The brackets of the cursor's line and of ``text``, inserted here, that ``text`` does not close."""
        initial = ScanState(scan(self.line_before, self.language).open_brackets)
        preceding = self.line_before[-2:]
        return scan(preceding + text, self.language, initial, len(preceding)).open_brackets

    def unmatched_closers(self, text: str) -> str:
        """The closing brackets of ``text``, inserted here, that match no open bracket."""
        preceding = self.line_before[-2:]
        return scan(
            preceding + text, self.language, ScanState(self.syntax.open_brackets), len(preceding)
        ).unmatched_closers

    def indent_width(self, line: str) -> int:
        """The indentation of ``line`` in columns."""
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" not in indent:
            return len(indent)
        tab_width = _BLANKS_PER_TAB if self.indent_unit == "\t" else len(self.indent_unit)
        return len(indent) + indent.count("\t") * (tab_width - 1)

    def is_parent_of_line_below(self, line: str) -> bool:
        """Whether the next line of the document is indented deeper than ``line``."""
        return bool(self.lines_below) and self.indent_width(self.lines_below[0]) > self.indent_width(line)

    @cached_property
    def unclosed_brackets(self) -> str:
        """The brackets that the cursor's line opens and that nothing below seems to close."""
        if self.syntax.region != "code" or self.line_after or self.language.is_prose:
            return ""
        if self.is_parent_of_line_below(self.line_before):
            return ""
        if self.lines_below and self.lines_below[0].lstrip()[0] in CLOSERS:
            return ""
        return scan(self.line_before, self.language).open_brackets

    def repeats_below(self, lines: list[str]) -> bool:
        """Whether the document has ``lines`` below the cursor: from the next line on, or from one soon after it.

        A single line with words further below counts only if it is long and occurs once: others are alike by chance.
        """
        with_words = [line for line in lines if has_words(line)]
        if not with_words:
            return False
        below = self.lines_below[:_NEARBY_LINES]
        starts = [index for index in range(len(below)) if self.lines_below[index : index + len(lines)] == lines]
        if len(with_words) > 1 or 0 in starts:
            return bool(starts)
        [line] = with_words
        is_unique = self.lines_below.count(line) == 1 and line not in self.lines_above
        return bool(starts) and is_unique and len(line.strip()) >= _MIN_UNIQUE_CHARS

    @property
    def is_in_string(self) -> bool:
        """Whether the cursor is in a string, or in the quotes of a tag's attribute."""
        is_tags = self.language.angle_brackets == "tags"
        return self.syntax.region == "string" or (is_tags and _ATTRIBUTE.search(self.line_before) is not None)

    def is_comment_only(self, text: str) -> bool:
        """Whether ``text``, inserted here, is whole comment lines and nothing else."""
        marks = self.language.line_comments
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return self.is_at_line_start and bool(lines and marks) and all(line.startswith(marks) for line in lines)

    def is_complete_statement(self, text: str) -> bool:
        """False if the parser sees an unfinished statement at the end of ``text``, inserted here."""
        is_complete = self._completeness.get(text)
        if is_complete is None:
            before = self.before if self.parsable_before is None else self.parsable_before
            is_complete = syntax_context.is_complete(before, text, self.language_id) is not False
            self._completeness[text] = is_complete
        return is_complete

    @cached_property
    def _completeness(self) -> dict[str, bool]:
        return {}


def has_words(text: str) -> bool:
    """Whether ``text`` has letters or digits; brackets and rulers have none."""
    return any(char.isalnum() for char in text)
