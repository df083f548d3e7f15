"""Ghost text that stays: while somebody types into a suggestion, nothing else takes its place.

Decides whether a newer suggestion may replace the one on the screen: only where it goes on as that one did. Refuses
to know where either came from.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.suggest import Cursor, Suggestion


class GhostStability:
    """What is on the screen of one document, as far as a server can know: what was answered last."""

    def __init__(self) -> None:
        self._shown: tuple[Hashable, Anchor, str, Suggestion] | None = None

    def settled(
        self, asked: Hashable, here: CursorText, cursor: Cursor, found: list[Suggestion], is_alone: bool = True
    ) -> list[Suggestion]:
        """``found``, or what is left of the one on the screen where ``found`` would say something else.

        Where it is not ``is_alone``, several were asked for, and all are shown.
        """
        left = self._left(asked, here, cursor) if is_alone else None
        if left is not None and not (found and found[0].text.startswith(left.text)):
            found = [left]
        place = Anchor(here.head, here.rest, is_first=True, is_last=True)
        self._shown = (asked, place, here.closers, found[0]) if found and is_alone else None
        return found

    def clear(self) -> None:
        """Nobody sees anything any more."""
        self._shown = None

    def _left(self, asked: Hashable, here: CursorText, cursor: Cursor) -> Suggestion | None:
        """What is still to be typed of the one on the screen; None if the cursor left it, or all is there.

        None too where the editor has opened or closed a bracket meanwhile: then the same text ends elsewhere.
        """
        if self._shown is None or (asked, here.closers) != (self._shown[0], self._shown[2]):
            return None
        _, place, _, shown = self._shown
        typed = place.typed(here, shown.text)
        if typed is None or not shown.text[typed:].strip():
            return None
        return replace(shown, text=shown.text[typed:], start=cursor.offset, end=cursor.offset + shown.end - shown.start)
