"""Ends a streamed text at the first of the client's stop texts, without sending any part of one."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Receives the pieces of one generated text in order and releases what certainly belongs to the answer."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._pending = ""
        self.is_reached = False

    def feed(self, piece: str) -> str:
        """What may be sent after ``piece`` arrived; the end of it is kept back while it may begin a stop text."""
        if self.is_reached:
            return ""
        text = self._pending + piece
        if (start := min((at for at in map(text.find, self._stops) if at >= 0), default=None)) is not None:
            self.is_reached, self._pending = True, ""
            return text[:start]
        kept = self._overlap(text)
        self._pending = text[len(text) - kept :]
        return text[: len(text) - kept]

    def finish(self) -> str:
        """What was kept back, when the generation has ended by itself."""
        rest, self._pending = self._pending, ""
        return rest

    def _overlap(self, text: str) -> int:
        """Characters at the end of ``text`` that may be the beginning of a stop text."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        return next((n for n in range(min(longest, len(text)), 0, -1) if self._may_begin(text[-n:])), 0)

    def _may_begin(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._stops)
