"""The lines around the cursor that a model continues to edit, as they are and as they were before the recent edits.

Decides how many lines these are, and that the model writes only what follows the newest edit among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.context.secrets import mask_secrets, mask_secrets_in_range
from starcoder_ls.next_edit.token_changes import locate_edit

LINES_AROUND = 10
MAX_WINDOW_CHARS = 4_000
_MAX_EDITS = 4


@dataclass(frozen=True, slots=True)
class EditWindow:
    """``lines`` are the lines now, without line ends and with masked secrets; ``starts`` are their first characters.

    ``before`` is the text of all lines before the edits in the first ``kept`` ones. ``end`` is the last character.
    """

    lines: tuple[str, ...]
    starts: tuple[int, ...]
    end: int
    before: str
    kept: int
    line_end: str = "\n"

    @property
    def beginning(self) -> str:
        """The lines that the model does not write again."""
        return "".join(f"{line}\n" for line in self.lines[: self.kept])

    @property
    def rest(self) -> str:
        """The lines that the model writes, as they are now."""
        return "\n".join(self.lines[self.kept :])


def find_window(text: str, cursor: int, edits: Sequence[RecentEdit]) -> EditWindow | None:
    """The window around ``cursor``. ``edits`` are those of this document, newest first.

    None if its lines are too long, or if nothing follows the newest edit in it.
    """
    start, end = _find_range(text, cursor)
    if end - start > MAX_WINDOW_CHARS:
        return None
    located = [span for edit in edits[:_MAX_EDITS] if (span := locate_edit(edit, text)) is not None]
    inside = [span for span in located if start <= span[0] and span[1] <= end]
    kept = 0 if not inside else text.count("\n", start, inside[0][1]) + 1
    masked = mask_secrets_in_range(text, start, end).split("\n")
    if kept >= len(masked):
        return None
    starts = [start]
    for line in masked:
        starts.append(starts[-1] + len(line) + 1)
    earlier = [span for span in inside if span[1] < starts[kept]]
    before = mask_secrets(_revert(text, start, end, earlier)).replace("\r\n", "\n").removesuffix("\r")
    lines = tuple(line.removesuffix("\r") for line in masked)
    return EditWindow(lines, tuple(starts[:-1]), end, before, kept, "\r\n" if masked[0].endswith("\r") else "\n")


def _find_range(text: str, cursor: int) -> tuple[int, int]:
    """The characters of the lines around ``cursor``, without the last line end, also that of the document."""
    start = text.rfind("\n", 0, cursor) + 1
    end = text.find("\n", cursor)
    for _ in range(LINES_AROUND):
        start = text.rfind("\n", 0, start - 1) + 1 if start else 0
        end = text.find("\n", end + 1) if end >= 0 else end
    return start, len(text) - text.endswith("\n") if end < 0 else end


def _revert(text: str, start: int, end: int, spans: Sequence[tuple[int, int, str]]) -> str:
    """``text[start:end]`` before the edits ``spans``: where each is now, and what was there before."""
    parts: list[str] = []
    done = start
    for first, last, removed in sorted(spans):
        if first >= done:
            parts += text[done:first], removed
            done = last
    return "".join((*parts, text[done:end]))
