"""A document whose edits are recorded, and whose next edits are computed and applied."""

from __future__ import annotations

from starcoder_ls.context.edit_history import EditHistory
from starcoder_ls.next_edit.mechanical import OpenText, find_next_edits
from starcoder_ls.next_edit.token_changes import Replacement

URI = "file:///project/app.py"
PATH = "/project/app.py"
_MAX_APPLIED = 40


class EditedText:
    """The text of a document, as a user edits it."""

    def __init__(
        self, text: str, language: str = "python", history: EditHistory | None = None, path: str = PATH
    ) -> None:
        self.text, self.language, self.path, self.uri = text, language, path, f"file://{path}"
        self.history = history or EditHistory()
        self.cursor = 0
        self.others: dict[str, OpenText] = {}

    def open_text(self) -> OpenText:
        return OpenText(self.uri, self.language, self.text)

    def replace(self, old: str, new: str, skip: int = 0) -> None:
        """Replace an occurrence of ``old``, the one after the first ``skip``."""
        start = -1
        for _ in range(skip + 1):
            start = self.text.index(old, start + 1)
        self.apply(Replacement(start, start + len(old), old, new))

    def apply(self, replacement: Replacement) -> None:
        assert self.text[replacement.start : replacement.end] == replacement.old
        self.text = self.text[: replacement.start] + replacement.text + self.text[replacement.end :]
        self.cursor = replacement.start + len(replacement.text)
        self.history.record(self.uri, self.path, self.text, replacement.start, replacement.old, replacement.text)

    def proposals(self) -> list[Replacement]:
        return find_next_edits(self.open_text(), self.cursor, self.history.recent(), self.others)

    def accept_all(self) -> str:
        """Apply the nearest proposal until there is none; the text then."""
        for _ in range(_MAX_APPLIED):
            proposals = self.proposals()
            if not proposals:
                return self.text
            self.apply(proposals[0])
        raise AssertionError(f"there are proposals without end: {self.proposals()[:3]}")
