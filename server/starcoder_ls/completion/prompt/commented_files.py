"""Text of other files as comments of a language: how models without a mark between files are shown them.

Refuses to know where the text comes from and where in a prompt it stands.
"""

from __future__ import annotations

from collections.abc import Iterable

from starcoder_ls.context.snippets import Snippet
from starcoder_ls.languages.table import by_id


def commented(snippets: Iterable[Snippet], language: str) -> str:
    """Each under its path; unknown languages get ``//``. Empty lines stay empty, so that no mark is for nothing."""
    begin, end = by_id(language).comment_marks
    lines = []
    for snippet in snippets:
        lines += [f"{begin}{snippet.path}:{end}"]
        lines += [f"{begin}{line}{end}" if line.strip() else "" for line in snippet.text.split("\n")]
    return "".join(f"{line}\n" for line in lines)
