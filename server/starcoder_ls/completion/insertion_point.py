"""The place that a suggestion fills, as the rules see it: both sides in line feeds, the language, what stands there.

Computes what several rules ask. Refuses to know what is suggested.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import syntax_context
from starcoder_ls.syntax.brackets import CLOSERS, ScanState, scan
from starcoder_ls.syntax.syntax_context import SyntaxContext

_BLANKS_PER_TAB = 4
_MOST_LINES = 400  # enough to tell tabs from blanks


@dataclass(frozen=True)
class InsertionPoint:
    """``is_off`` holds the names of rules that are switched off."""

    before: str
    after: str
    language_id: str = ""
    spot: SyntaxContext = field(default=SyntaxContext())
    is_off: Collection[str] = frozenset()
    head: str | None = None
    """The end of what stands before the cursor, from a place on that is code."""

    @classmethod
    def at(
        cls, before: str, after: str, language_id: str, is_off: Collection[str] = (), above: str = ""
    ) -> InsertionPoint:
        """``above`` is what of the document stands before ``before``: a comment may have begun there."""
        whole = above + before
        here, head = (
            syntax_context.context_at(whole, after, language_id),
            syntax_context.trim_to_code(whole, language_id),
        )
        return cls(before, after, language_id, here, frozenset(is_off), head)

    @cached_property
    def language(self) -> Language:
        return by_id(self.language_id)

    @cached_property
    def own(self) -> str:
        """The cursor's line up to the cursor."""
        return self.before.rpartition("\n")[2]

    @cached_property
    def rest(self) -> str:
        """The cursor's line behind the cursor, without blanks at its end."""
        return self.after.partition("\n")[0].rstrip()

    @property
    def is_fresh(self) -> bool:
        """Nothing but blanks stands before the cursor on its line."""
        return not self.own.strip()

    @cached_property
    def above(self) -> list[str]:
        """The lines above that say something, the nearest last."""
        return [line.rstrip() for line in self.before.split("\n")[-_MOST_LINES:-1] if line.strip()]

    @cached_property
    def below(self) -> list[str]:
        """The lines below that say something."""
        return [line.rstrip() for line in self.after.split("\n")[1:] if line.strip()]

    @cached_property
    def opener(self) -> str:
        """The line that opens the block whose first line is to be written; empty in the middle of one."""
        if self.spot.follows_block_opener:
            return self.above[-1] if self.above else ""
        return (
            self.own
            if self.spot.region == "code" and not self.rest and syntax_context.opens_block(self.own, self.language)
            else ""
        )

    @cached_property
    def unit(self) -> str:
        """One step of indentation as in the document: a tab, or so many blanks."""
        if self.language.requires_tabs:
            return "\t"
        lines = [line for line in (*self.above, self.own, *self.below[:_MOST_LINES]) if line[:1] in (" ", "\t")]
        if sum(line[0] == "\t" for line in lines) * 2 > len(lines):
            return "\t"
        widths = [len(line) - len(line.lstrip()) for line in lines if line[0] == " "]
        return " " * min((width for width in widths if width > 1), default=4)

    def read(self, text: str) -> ScanState:
        """What ``text`` leaves open of its own if it is put into the gap."""
        where = self.spot
        begun = (
            ScanState(closing_delimiter=where.closing_delimiter, is_comment=where.region == "comment")
            if where.region != "code"
            else ScanState(self.remaining_prefix)
        )
        near = self.own[-2:]
        return scan(near + text, self.language, begun, len(near))

    def surplus(self, text: str) -> str:
        """The brackets that ``text``, put into the gap, closes without anybody having opened them."""
        near = self.own[-2:]
        return scan(near + text, self.language, ScanState(self.spot.open_brackets), len(near)).unmatched_closers

    def depth(self, line: str) -> int:
        """How far ``line`` is indented, in blanks."""
        blank = line[: len(line) - len(line.lstrip())]
        return len(blank) + blank.count("\t") * ((_BLANKS_PER_TAB if self.unit == "\t" else len(self.unit)) - 1)

    def is_deeper_below(self, line: str) -> bool:
        """Whether the next line of the file is inside ``line``, by indentation."""
        return bool(self.below) and self.depth(self.below[0]) > self.depth(line)

    @cached_property
    def remaining_prefix(self) -> str:
        """The brackets that the cursor's line opens and nothing below seems to close."""
        opened = scan(self.own, self.language).open_brackets if self.spot.region == "code" else ""
        is_below = bool(self.below) and (
            self.depth(self.below[0]) > self.depth(self.own) or self.below[0].lstrip()[0] in CLOSERS
        )
        return "" if self.rest or is_below or self.language.is_prose else opened

    def is_commented(self, text: str) -> bool:
        """``text`` is whole lines of comment and nothing else."""
        marks = self.language.line_comments
        said = [line.strip() for line in text.split("\n") if line.strip()]
        return self.is_fresh and bool(said and marks) and all(line.startswith(marks) for line in said)

    def is_complete(self, text: str) -> bool:
        """Whether a tree sees no unfinished statement at the end of ``text``."""
        known_answer = self._complete.get(text)
        if known_answer is None:
            known_answer = (
                syntax_context.is_complete(self.before if self.head is None else self.head, text, self.language_id)
                is not False
            )
            self._complete[text] = known_answer
        return known_answer

    @cached_property
    def _complete(self) -> dict[str, bool]:
        return {}


def has_words(text: str) -> bool:
    """Brackets and rulers say nothing."""
    return any(char.isalnum() for char in text)
