"""The cursor that a suggestion is requested for: its document, its offset, and what else the prompt needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from starcoder_ls.completion.anchor import CursorText, normalize_line_ends
from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext
from starcoder_ls.settings import InlineCompletion
from starcoder_ls.syntax.syntax_context import Region, context_at

_DEFAULTS = InlineCompletion()


@dataclass(frozen=True)
class Cursor:
    """A position in a document. ``offset`` counts characters of ``text``; ``document`` is the key of its caches.

    ``client`` is whose queue a request belongs to, ``adapter`` the one that answers it, ``context`` what the prompt
    shows of other files.
    """

    text: str
    offset: int
    language: str = ""
    path: str = ""
    document: str = ""
    client: str = ""
    adapter: str | None = None
    context: PromptContext = NO_CONTEXT

    @cached_property
    def divided(self) -> CursorText:
        """The document's text on both sides. Computed once, and with it the closers right of the cursor."""
        return CursorText.at(self.text, self.offset)

    def insertion_point(self, before: str, after: str, settings: InlineCompletion = _DEFAULTS) -> InsertionPoint:
        """The insertion point between two texts next to the cursor, both with line feeds and possibly shortened."""
        above = normalize_line_ends(self.text[: max(0, self.offset - len(before))])
        return InsertionPoint.at(before, after, self.language, settings.rules_off, above, settings.max_lines)

    @property
    def region(self) -> Region:
        """Whether the cursor is in code, in a string or in a comment."""
        divided = self.divided
        return context_at(divided.before, divided.closers + divided.after, self.language).region
