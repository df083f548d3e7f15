"""Gives lines of code another indentation. Strings over several lines keep what is in them.

Comments and strings say nothing about the indent unit: the lines of a doc comment are indented by one blank.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite import text_lines
from starcoder_ls.syntax import brackets

Region = Literal["code", "comment", "string"]

_MAX_INDENT_UNIT = 8
_TRIPLE_QUOTE = re.compile(r"[ \t]*[rRuU]?(?:\"\"\"|''')")


@dataclass(frozen=True, slots=True)
class CodeLines:
    """Lines without line ends, and what each of them begins in. A docstring counts as a comment.

    All is code if a string or comment is open at the end: then the first line is in one, or the scanner was misled.
    """

    lines: Sequence[str]
    regions: Sequence[Region]

    @classmethod
    def read(cls, lines: Sequence[str], language_id: str) -> Self:
        """``lines`` of a language, of which the first begins in code."""
        language = by_id(language_id)
        regions: list[Region] = []
        state, is_docstring, is_continued = brackets.ScanState(), False, False
        for line in lines:
            if state.is_code:
                is_statement = language.has_indented_blocks and not state.open_brackets and not is_continued
                is_docstring = is_statement and bool(_TRIPLE_QUOTE.match(line))
                regions.append("code")
            else:
                regions.append("comment" if state.is_comment or is_docstring else "string")
            state = brackets.scan(f"{line}\n", language, state)
            is_continued = line.endswith("\\")
        return cls(lines, regions if state.is_code else ["code"] * len(regions))

    def of(self, region: Region) -> list[str]:
        """The lines that begin in ``region``."""
        return [line for line, its_region in zip(self.lines, self.regions, strict=True) if its_region == region]

    def common_indentation(self) -> str:
        """The indentation that all lines of code share."""
        return text_lines.common_indentation(self.of("code"))

    def dedent(self) -> Self:
        """Without the indentation that the lines of code share; a line that has less loses all of it."""
        length = len(self.common_indentation())
        lines = [line[min(length, len(text_lines.indentation_of(line))) :] for line in self.lines]
        return replace(self, lines=lines)

    def indent_unit(self) -> str:
        """One level of indentation; empty if no line of code is indented. The lines must be dedented."""
        return text_lines.indent_unit(self.of("code"))

    def reindent(self, unit: str) -> Self:
        """With ``unit`` in place of the own indent unit; unchanged if either is implausible. They must be dedented.

        Lines that are aligned under a bracket keep the blanks beyond their last whole level.
        """
        own = self.indent_unit()
        if own == unit or not 0 < len(own) <= _MAX_INDENT_UNIT or not 0 < len(unit) <= _MAX_INDENT_UNIT:
            return self
        pairs = zip(self.lines, self.regions, strict=True)
        return replace(self, lines=[line if its == "string" else _reindent(line, own, unit) for line, its in pairs])

    def with_strings_of(self, other: Self) -> Self:
        """With the lines in strings as ``other`` has them; both have the same lines but for their indentation."""
        pairs = zip(self.lines, other.lines, self.regions, strict=True)
        return replace(self, lines=[theirs if region == "string" else own for own, theirs, region in pairs])


def _reindent(line: str, own_unit: str, unit: str) -> str:
    blanks = text_lines.indentation_of(line)
    if own_unit == "\t":
        depth, rest = blanks.count("\t"), blanks.replace("\t", "")
    else:
        depth, surplus = divmod(len(blanks.expandtabs(len(own_unit))), len(own_unit))
        rest = " " * surplus
    return unit * depth + rest + line[len(blanks) :]
