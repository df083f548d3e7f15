"""Keeps ghost text stable: while the user types into a suggestion, no other suggestion replaces it.

Decides whether a newer suggestion may replace the one on the screen: only if it continues that one.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from starcoder_ls.completion.anchor import Anchor
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion


@dataclass(frozen=True, slots=True)
class _Ghost:
    """A suggestion that was sent to the editor, and the document around it at that time."""

    generation_key: Hashable
    anchor: Anchor
    closers: str
    suggestion: Suggestion


class GhostStability:
    """What is on the screen of one document, as far as a server can know: the last answer."""

    def __init__(self) -> None:
        self._ghost: _Ghost | None = None

    def stabilize(
        self, generation_key: Hashable, cursor: Cursor, found: list[Suggestion], is_single: bool = True
    ) -> list[Suggestion]:
        """``found``, or the rest of the suggestion on the screen if ``found`` would contradict that.

        If not ``is_single``, the user asked for several suggestions: ``found`` is returned as it is.
        """
        remaining = self._remaining(generation_key, cursor) if is_single else None
        if remaining is not None and not (found and found[0].text.startswith(remaining.text)):
            found = [remaining]
        divided = cursor.divided
        anchor = Anchor(divided.before, divided.after, has_document_start=True, has_document_end=True)
        self._ghost = _Ghost(generation_key, anchor, divided.closers, found[0]) if found and is_single else None
        return found

    def clear(self) -> None:
        """No suggestion is on the screen any more."""
        self._ghost = None

    def _remaining(self, generation_key: Hashable, cursor: Cursor) -> Suggestion | None:
        """The rest of the suggestion on the screen; None if the cursor left it or all of it was typed.

        Also None if the editor has inserted or removed a closer since: the same text would then end elsewhere.
        """
        ghost = self._ghost
        if ghost is None or (generation_key, cursor.divided.closers) != (ghost.generation_key, ghost.closers):
            return None
        suggestion = ghost.suggestion
        typed_chars = ghost.anchor.count_typed(cursor.divided, suggestion.text)
        if typed_chars is None or not suggestion.text[typed_chars:].strip():
            return None
        end = cursor.offset + suggestion.end - suggestion.start
        return replace(
            suggestion,
            text=suggestion.text[typed_chars:],
            start=cursor.offset,
            end=end,
            typed_chars=suggestion.typed_chars + typed_chars,
        )
