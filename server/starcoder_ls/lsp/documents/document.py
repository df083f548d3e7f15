"""One open text: its content, its version, and whether both can still be believed.

Decides when an edit cannot be true; from then on the text is unknown until it is sent whole. Refuses to guess, and
to know the protocol's types.
"""

from __future__ import annotations

from dataclasses import dataclass

from pygls import uris

from starcoder_ls.errors import DocumentOutOfSync
from starcoder_ls.lsp import positions
from starcoder_ls.lsp.documents.lines import Lines


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column as the protocol counts them, from 0; columns in units of the document's encoding."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Edit:
    """One change. Without a start it replaces the whole text."""

    text: str
    start: Position | None = None
    end: Position | None = None


class Document:
    """A mutable document; ``text`` itself is immutable and may be kept as a snapshot."""

    def __init__(self, uri: str, language: str, version: int, text: str, encoding: positions.Encoding) -> None:
        self.uri = uri
        self.language = language
        self.version = version
        self.text = text
        self.encoding = encoding
        self.path = _path(uri)
        self._lost = ""
        self._lines = Lines(text)

    def offset_at(self, position: Position) -> int:
        """Characters of the text before ``position``.

        A column past the end of its line means the line's end, and the line after the last one the end of the text:
        editors say both. Raises DocumentOutOfSync for what lies further out, or inside a character.
        """
        if position.line == len(self._lines):
            return len(self.text)
        if position.line > len(self._lines):
            raise DocumentOutOfSync(
                f"Line {position.line} does not exist: there are {len(self._lines)}. Open the file again."
            )
        start, end = self._lines.span(position.line, self.text)
        if position.column == 0:
            return start
        return start + positions.to_chars(self.text[start:end], position.column, self.encoding)

    def position_at(self, offset: int) -> Position:
        """Where ``offset`` is. Between CR and LF, where no position exists, it is the end of the line."""
        line = self._lines.line_of(offset)
        start, end = self._lines.span(line, self.text)
        column = positions.to_units(self.text[start:end], min(offset, end) - start, self.encoding)
        return Position(line, column)

    def change(self, version: int, edits: list[Edit]) -> None:
        """Apply one notification's edits in order. Raises DocumentOutOfSync, and stays so until a whole text comes.

        Versions may skip numbers (LSP says so) but never stand still or go back.
        """
        if version <= self.version:
            self._lost = f"Version {version} of {self.uri} came after version {self.version}."
        self.version = version
        for edit in edits:
            self._apply(edit)
        self.require_sync()

    @property
    def is_in_sync(self) -> bool:
        return not self._lost

    def require_sync(self) -> None:
        """Raises DocumentOutOfSync if the text can no longer be believed."""
        if self._lost:
            raise DocumentOutOfSync(f"{self._lost} Open the file again.")

    def lose(self, why: str) -> None:
        """From now on the text is unknown. ``why`` is one sentence."""
        self._lost = why

    def _apply(self, edit: Edit) -> None:
        if edit.start is None or edit.end is None:
            self.text, self._lines, self._lost = edit.text, Lines(edit.text), ""
            return
        if self._lost:
            return
        try:
            start, end = self.offset_at(edit.start), self.offset_at(edit.end)
        except DocumentOutOfSync:
            start, end = 1, 0
        if start > end:
            self.lose(f"An edit of {self.uri} does not fit its text.")
            return
        self.text = self.text[:start] + edit.text + self.text[end:]
        self._lines.replace(start, end, self.text, len(edit.text) - (end - start))


def _path(uri: str) -> str:
    """The file's path; empty for what is no file, such as an unsaved buffer."""
    try:
        return uris.to_fs_path(uri) or ""
    except ValueError:  # not every string is a URI
        return ""
