"""Where in a text something was asked, and whether the cursor is still there, give or take what was typed.

Decides when an old answer is about the text as it is now. Refuses to know answers, models and time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starcoder_ls.completion.output import auto_closers

_CARRIAGE_RETURN = re.compile(r"\r\n?")


def with_line_feeds(text: str) -> str:
    """Line ends as models know them; editors put their own into what they insert."""
    return _CARRIAGE_RETURN.sub("\n", text) if "\r" in text else text


@dataclass(frozen=True, slots=True)
class CursorText:
    """A text as the cursor divides it, in line feeds; ``closers`` right of the cursor are no part of ``rest``."""

    head: str
    rest: str
    closers: str = ""

    @classmethod
    def at(cls, text: str, offset: int) -> CursorText:
        own = auto_closers.right_of(text, offset)
        return cls(with_line_feeds(text[:offset]), with_line_feeds(text[offset + len(own) :]), own)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a model saw on both sides of a cursor, in line feeds, without the closers right of it.

    ``is_first``, ``is_last``: the text began with ``before``, ended with ``after``. Closers are left out because they
    come and go while one types into a suggestion: the editor closes what was opened, and is typed over.
    """

    before: str
    after: str
    is_first: bool = False
    is_last: bool = False

    def typed(self, here: CursorText, said: str, least: int = 0) -> int | None:
        """How many characters of ``said`` have been typed since; None if anything else changed in what was seen.

        Where several numbers fit (``said`` repeats itself), the smallest from ``least`` on.
        """
        if not self._is_above(here.rest):
            return None
        for chars in range(least, len(said) + 1):
            if self.is_behind(here.head, said, chars):
                return chars
        return None

    def is_behind(self, head: str, said: str, chars: int) -> bool:
        """``head`` is what was before the cursor, and ``chars`` of ``said`` after it."""
        start = len(head) - chars - len(self.before)
        if start < 0 or (self.is_first and start > 0) or not head.endswith(said[:chars]):
            return False
        return head.startswith(self.before, start)

    def is_at(self, here: CursorText, said: str, chars: int) -> bool:
        return self._is_above(here.rest) and self.is_behind(here.head, said, chars)

    def _is_above(self, rest: str) -> bool:
        return rest == self.after if self.is_last else rest.startswith(self.after)
