"""One open document: its text, its version, and whether it is in sync with the editor.

An edit that does not fit the text makes the document out of sync until the editor sends the whole text.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from pygls import uris

from starcoder_ls.errors import DocumentOutOfSync
from starcoder_ls.lsp import positions
from starcoder_ls.lsp.documents.applied_edit import AppliedEdit, minimal_edit
from starcoder_ls.lsp.documents.lines import Lines
from starcoder_ls.notebooks.ipynb import is_notebook

BYTES_PER_LINE = 8
_JSON_OBJECT = re.compile(r"\s*\{")


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column from 0; the column in units of the document's encoding."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the text from ``start`` to ``end``; without them the whole text."""

    text: str
    start: Position | None = None
    end: Position | None = None


class Document:
    """A mutable document; its ``text`` is an immutable string and can be kept as a snapshot."""

    def __init__(
        self, uri: str, language: str, version: int, text: str, encoding: positions.Encoding, notebook: str = ""
    ) -> None:
        self.uri = uri
        self.notebook = notebook
        """The URI of the notebook that the document is a cell of; empty for any other document."""
        self.language = language
        self.version = self._client_version = version
        self.text = text
        self.encoding = encoding
        self.path = path_of_uri(notebook or uri)
        self.on_edit: Callable[[AppliedEdit], None] = lambda _: None
        """Called after each edit of ``change``."""
        self._sync_error = ""
        self._lines = Lines(text)

    def offset_at(self, position: Position) -> int:
        """Number of characters of the text before ``position``.

        A column past the end of its line means the end of the line; the line after the last one the end of the text;
        editors send both. Raises DocumentOutOfSync for other positions outside the text, or inside a character.
        """
        if position.line == len(self._lines):
            return len(self.text)
        if position.line > len(self._lines):
            raise DocumentOutOfSync(
                f"Line {position.line} does not exist: the document has {len(self._lines)} lines. Open the file again."
            )
        start, end = self._lines.span(position.line, self.text)
        if position.column == 0:
            return start
        return start + positions.to_chars(self.text[start:end], position.column, self.encoding)

    def edit_offset_at(self, position: Position) -> int:
        """``offset_at`` for edits: as LSP specifies, a line behind the last one means the end of the text.

        A request at such a position is refused instead: a suggestion there would be for another text.
        """
        return len(self.text) if position.line >= len(self._lines) else self.offset_at(position)

    def position_at(self, offset: int) -> Position:
        """The position of ``offset``; between CR and LF, where LSP has none, the end of the line."""
        line = self._lines.line_of(offset)
        start, end = self._lines.span(line, self.text)
        column = positions.to_units(self.text[start:end], min(offset, end) - start, self.encoding)
        return Position(line, column)

    def change(self, version: int | None, edits: list[Edit]) -> None:
        """Apply the edits of one notification in order. ``version`` is None if the client sent none.

        Raises DocumentOutOfSync if an edit does not fit or ``version`` does not increase (LSP allows gaps). The
        document is then out of sync until the whole text is replaced.
        """
        if version is None:
            self.version = self._client_version + 1  # actions for the old text do not apply to the new one
        else:
            if version <= self._client_version:
                self._sync_error = f"Version {version} of {self.uri} came after version {self._client_version}."
            self.version = self._client_version = version
        for edit in edits:
            self._apply(edit)
        self.require_sync()

    @property
    def memory_bytes(self) -> int:
        """The memory of the text and of the starts of its lines."""
        return sys.getsizeof(self.text) + BYTES_PER_LINE * len(self._lines)

    def replace_text(self, text: str) -> None:
        """The text is ``text`` now, and in sync."""
        self.text, self._lines, self._sync_error = text, Lines(text), ""

    def drop_text(self, reason: str) -> None:
        """Release the text; the document is out of sync because of ``reason``, which is one sentence."""
        self.text, self._lines = "", Lines("")
        self.mark_out_of_sync(reason)

    @property
    def is_notebook_json(self) -> bool:
        """It is a notebook that the editor shows as the text of its file. Others are shown as scripts, by jupytext."""
        return not self.notebook and is_notebook(self.path) and _JSON_OBJECT.match(self.text) is not None

    @property
    def is_in_sync(self) -> bool:
        return not self._sync_error

    def require_sync(self) -> None:
        """Raises DocumentOutOfSync if the text is not the editor's."""
        if self._sync_error:
            raise DocumentOutOfSync(f"{self._sync_error} Open the file again.")

    def mark_out_of_sync(self, reason: str) -> None:
        """The text is unknown until the editor sends it whole. ``reason`` is one sentence."""
        self._sync_error = reason

    def _apply(self, edit: Edit) -> None:
        if edit.start is None or edit.end is None:
            old_text = self.text
            self.replace_text(edit.text)
            self.on_edit(minimal_edit(old_text, edit.text))
            return
        if self._sync_error:
            return
        try:
            start = self.edit_offset_at(edit.start)
            end = start if edit.end == edit.start else self.edit_offset_at(edit.end)
        except DocumentOutOfSync:
            start, end = 1, 0
        if start > end:
            self.mark_out_of_sync(f"An edit of {self.uri} does not fit its text.")
            return
        replaced = self.text[start:end]
        self.text = self.text[:start] + edit.text + self.text[end:]
        self._lines.replace(start, end, self.text, len(edit.text) - (end - start))
        self.on_edit(minimal_edit(replaced, edit.text, start))


def path_of_uri(uri: str) -> str:
    """The path of a file URI; empty for others: of unsaved buffers, or with a NUL, which no file name has."""
    try:
        path = uris.to_fs_path(uri) or ""
        os.fsencode(path)
    except ValueError:  # not every string is a URI, and a path has only characters that the system can encode
        return ""
    return "" if "\0" in path else path
