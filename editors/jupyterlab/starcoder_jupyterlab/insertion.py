"""What JupyterLab inserts for an item of the language server: it can only insert at the cursor, not replace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starcoder_jupyterlab.synchronization import position


@dataclass(frozen=True, slots=True)
class Insertion:
    """Text to insert at the cursor; the page then removes ``replaced_after`` characters behind it."""

    text: str
    replaced_after: int


def insertion_of(item: dict[str, Any], text: str, offset: int) -> Insertion | None:
    """The insertion at ``offset`` of ``text`` that has the effect of ``item``; None if there is none.

    The range of an item ends behind the cursor if the suggestion contains closing brackets that stand there. If the
    suggestion ends with them, they are left where they are, so that ghost text does not show them twice.
    """
    cursor = position(text, offset)
    start, end = item["range"]["start"], item["range"]["end"]
    if start["line"] != cursor["line"] or end["line"] != cursor["line"] or start["character"] > cursor["character"]:
        return None
    typed = text[offset - (cursor["character"] - start["character"]) : offset]
    inserted = str(item["insertText"])
    if not inserted.startswith(typed):
        return None
    inserted = inserted[len(typed) :]
    replaced = text[offset : offset + max(0, end["character"] - cursor["character"])]
    if replaced and inserted.endswith(replaced):
        inserted, replaced = inserted[: -len(replaced)], ""
    return Insertion(inserted, len(replaced)) if inserted else None
