"""A cursor that needs context from other files, and the text around it that decides what is similar."""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.context.source_files import language_family, language_group

_NEAR_LINES_ABOVE, _NEAR_LINES_BELOW, _NEAR_CHARS_ABOVE, _NEAR_CHARS_BELOW = 30, 10, 12_000, 4000


@dataclass(frozen=True, slots=True)
class ContextRequest:
    """A cursor that needs context. ``document`` is the document's key, ``path`` is empty if it is not a file.

    ``prompt_chars`` is about how much of the text before the cursor the prompt has; after it, a third of that.
    In a notebook, ``text`` is that of all cells, ``language`` that of the cursor's cell, ``notebook`` its URI.
    """

    document: str
    path: str
    text: str
    offset: int
    prompt_chars: int
    language: str = ""
    notebook: str = ""

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.offset)

    @property
    def family(self) -> str:
        """The language family of the document."""
        return language_family(self.path, self.language)

    @property
    def group(self) -> str:
        """The language group of the document."""
        return language_group(self.path, self.language)

    @property
    def name(self) -> str:
        return self.path or self.document

    @property
    def prompt_range(self) -> tuple[int, int]:
        """Start and end of about what the prompt has of the text; they may lie outside of it."""
        return self.offset - self.prompt_chars, self.offset + self.prompt_chars // 3

    @property
    def lines_near_cursor(self) -> str:
        """Lines below the cursor, then lines above it.

        Identifiers are taken from the end, so that those of the cursor's own line come first.
        """
        above = self.text[max(0, self.offset - _NEAR_CHARS_ABOVE) : self.offset].split("\n")[-_NEAR_LINES_ABOVE:]
        below = self.text[self.offset : self.offset + _NEAR_CHARS_BELOW].split("\n")[:_NEAR_LINES_BELOW]
        return "\n".join((*below, *above))
