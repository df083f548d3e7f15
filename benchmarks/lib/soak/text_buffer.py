"""A document as an editor holds it: lines, a cursor, edits as LSP changes, and undo."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters ``start`` to ``end`` of line ``line`` are replaced by ``text``, which may contain line breaks.

    ``last_line`` is the line that ``end`` is in.
    """

    line: int
    start: int
    last_line: int
    end: int
    text: str


@dataclass
class TextBuffer:
    """``version`` counts the changes, as LSP demands. The cursor is ``line``, ``column`` (in characters)."""

    uri: str
    lines: list[str]
    version: int = 1
    line: int = 0
    column: int = 0
    _undo: list[Edit] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def position(self, line: int, column: int) -> dict[str, int]:
        """As LSP counts it: in UTF-16 code units."""
        return {"line": line, "character": utf16_length(self.lines[line][:column])}

    @property
    def cursor(self) -> dict[str, int]:
        return self.position(self.line, self.column)

    def column_of(self, line: int, character: int) -> int:
        """The column of a position that counts UTF-16 code units."""
        return len(self.lines[line].encode("utf-16-le")[: character * 2].decode("utf-16-le", "ignore"))

    def move_to(self, line: int, column: int) -> None:
        self.line = min(max(line, 0), len(self.lines) - 1)
        self.column = min(max(column, 0), len(self.lines[self.line]))

    def insert(self, text: str) -> dict[str, Any]:
        return self.apply(Edit(self.line, self.column, self.line, self.column, text))

    def delete_before(self, chars: int) -> dict[str, Any] | None:
        """Delete up to ``chars`` characters of the line before the cursor, or the line break; None at the start."""
        if self.column:
            return self.apply(Edit(self.line, max(0, self.column - chars), self.line, self.column, ""))
        if not self.line:
            return None
        return self.apply(Edit(self.line - 1, len(self.lines[self.line - 1]), self.line, 0, ""))

    def undo(self) -> dict[str, Any] | None:
        """Take back the last change that was not taken back; None if there is none."""
        return self._replace(self._undo.pop())[0] if self._undo else None

    def reload(self, lines: list[str]) -> dict[str, Any]:
        """Replace the whole text, as an editor does after the file has changed; nothing before it can be undone."""
        self.lines, self.version = lines, self.version + 1
        self._undo.clear()
        self.move_to(len(lines) // 2, 0)
        return {"text": self.text}

    def apply(self, edit: Edit) -> dict[str, Any]:
        """Change the text, move the cursor behind the change, and return the content change to send."""
        change, inverse = self._replace(edit)
        self._undo.append(inverse)
        del self._undo[:-100]
        return change

    def _replace(self, edit: Edit) -> tuple[dict[str, Any], Edit]:
        before, after = self.lines[edit.line][: edit.start], self.lines[edit.last_line][edit.end :]
        start, end = self.position(edit.line, edit.start), self.position(edit.last_line, edit.end)
        removed = "\n".join(self.lines[edit.line : edit.last_line + 1])
        removed = removed[edit.start : len(removed) - len(after)]
        new_lines = (before + edit.text + after).split("\n")
        self.lines[edit.line : edit.last_line + 1] = new_lines
        self.version += 1
        self.line = edit.line + len(new_lines) - 1
        self.column = len(new_lines[-1]) - len(after)
        inverse = Edit(edit.line, edit.start, self.line, self.column, removed)
        return {"range": {"start": start, "end": end}, "text": edit.text}, inverse
