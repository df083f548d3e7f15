"""Where in a text an answer belongs, and how far the user has typed into that answer since.

Decides whether an earlier answer still applies: only if everything else that the model saw is unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starcoder_ls.completion.output import auto_closers

_CARRIAGE_RETURN = re.compile(r"\r\n?")


def normalize_line_ends(text: str) -> str:
    """``text`` with line feeds only, as models are trained; editors convert line ends in text that they insert."""
    return _CARRIAGE_RETURN.sub("\n", text) if "\r" in text else text


@dataclass(frozen=True, slots=True)
class CursorText:
    """A document divided at the cursor, with line feeds; ``closers`` right of the cursor are not part of ``after``."""

    before: str
    after: str
    closers: str = ""

    @classmethod
    def at(cls, text: str, offset: int) -> CursorText:
        closers = auto_closers.closers_at(text, offset)
        after = normalize_line_ends(text[offset + len(closers) :])
        return cls(normalize_line_ends(text[:offset]), after, closers)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a model saw on both sides of a cursor, with line feeds, without the closers right of it.

    ``has_document_start``: the document began with ``before``; ``has_document_end``: it ended with ``after``. Closers
    are left out because they come and go while the user types into a suggestion: the editor inserts the closer of a
    bracket that was opened, and later replaces it when the user types it.
    """

    before: str
    after: str
    has_document_start: bool = False
    has_document_end: bool = False

    def count_typed(self, cursor_text: CursorText, answer: str) -> int | None:
        """How many characters of ``answer`` were typed since; None if anything else in the seen text changed.

        The smallest number that fits, where several do because ``answer`` repeats itself.
        """
        if not self._matches_after(cursor_text.after):
            return None
        for chars in range(len(answer) + 1):
            if self._matches_before(cursor_text.before, answer, chars):
                return chars
        return None

    def matches(self, cursor_text: CursorText, answer: str, chars: int) -> bool:
        """Whether exactly the first ``chars`` characters of ``answer`` were typed since."""
        return self._matches_after(cursor_text.after) and self._matches_before(cursor_text.before, answer, chars)

    def _matches_before(self, before: str, answer: str, chars: int) -> bool:
        start = len(before) - chars - len(self.before)
        if start < 0 or (self.has_document_start and start > 0) or not before.endswith(answer[:chars]):
            return False
        return before.startswith(self.before, start)

    def _matches_after(self, after: str) -> bool:
        return after == self.after if self.has_document_end else after.startswith(self.after)
