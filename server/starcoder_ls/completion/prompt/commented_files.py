"""Snippets of other files as comments, for models that have no mark between files."""

from __future__ import annotations

from collections.abc import Iterable

from starcoder_ls.context.snippets import Snippet
from starcoder_ls.languages.table import by_id


def format_as_comments(snippets: Iterable[Snippet], language: str) -> str:
    """Each snippet as comment lines below its path; unknown languages get ``//``. Empty lines stay empty."""
    begin, end = by_id(language).comment_marks
    lines = []
    for snippet in snippets:
        lines += [f"{begin}{snippet.path}:{end}"]
        lines += [f"{begin}{line}{end}" if line.strip() else "" for line in snippet.text.split("\n")]
    return "".join(f"{line}\n" for line in lines)
