"""The parser of the Markdown that a model writes. It is imported with the first answer: it takes 2 MB."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_NESTING = 20
"""The parser drops what is nested deeper."""


@functools.cache
def commonmark_parser() -> MarkdownIt:
    """CommonMark; HTML is text."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
