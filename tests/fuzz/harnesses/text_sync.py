"""Changes of documents in all position encodings, compared with a plain reference."""

from __future__ import annotations

import re

from fuzz.input_bytes import InputReader, decode_text, join_fields, split_fields
from starcoder_ls.errors import DocumentOutOfSync
from starcoder_ls.lsp.converter import structure
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.documents.lines import Lines
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.key_messages import DocumentChange
from starcoder_ls.lsp.positions import Encoding

MAX_BYTES = 512
MAX_CHANGES = 40
URI = "file:///a.py"
ENCODINGS = tuple(Encoding)
PIECES = ("", "a", "b c", "\n", "\r\n", "\r", "é", "漢", "😀", "\ud83d", "\f", "\u2028", "\n\n", "x\ny", "()", "\t")

SEEDS = (
    join_fields("ab\r\ncd\n😀e", bytes((1, 1, 0, 0, 2, 0, 4, 5, 1, 2, 1, 1, 3, 8))),
    join_fields("😀😀\r漢\r\n", bytes((0, 2, 1, 0, 1, 1, 1, 2, 9, 4, 1, 7, 5))),
    join_fields("def f():\n\tpass\n", bytes((2, 1, 9, 9, 9, 9, 3, 1, 4, 1, 1, 1, 1, 2, 0, 1, 6))),
    join_fields("", bytes((1, 1, 0, 0, 0, 0, 11, 1, 1, 0, 1, 0, 12))),
    join_fields("\r\n\r\n", bytes((1, 1, 0, 0, 1, 0, 3, 1, 0, 0, 0, 0, 5))),
)


def check(data: bytes) -> None:
    raw_text, operations = split_fields(data, 2)
    reader = InputReader(operations)
    text = decode_text(raw_text)
    documents = Documents()
    documents.encoding = ENCODINGS[reader.integer(3)]
    documents.open(URI, "python", 1, text)
    reference = Reference(text, documents.encoding)
    for _ in range(MAX_CHANGES):
        if reader.is_at_end:
            break
        version = reader.choice((reference.version + 1, reference.version + 3, None, reference.version))
        changes = [_read_change(reader) for _ in range(1 + reader.integer(2))]
        raw = {"textDocument": {"uri": URI, "version": version}, "contentChanges": changes}
        change = structure(raw, DocumentChange)
        assert change.version == version
        reference.change(version, changes)
        try:
            documents.change(URI, version, change.edits)
            is_in_sync = True
        except DocumentOutOfSync as error:
            is_in_sync = not str(error).endswith("Open the file again.")
        assert is_in_sync == reference.is_in_sync
        document = documents.get(URI)
        assert document.version == reference.version
        if is_in_sync:
            assert document.text == reference.text
            check_positions(document, reference)


def _read_change(reader: InputReader) -> dict[str, object]:
    """A change as JSON; one of eight has the whole text."""
    kind = reader.integer(8)
    if kind == 4:
        return {"range": None, "text": reader.choice(PIECES) + reader.choice(PIECES)}
    start, end = (reader.integer(12), reader.integer(16)), (reader.integer(12), reader.integer(16))
    if kind != 5:
        start, end = min(start, end), max(start, end)
    lines = {"start": start, "end": end} if kind != 6 else {"start": start, "end": (2**40, 2**40)}
    ranges = {name: {"line": line, "character": column} for name, (line, column) in lines.items()}
    return {"range": ranges, "text": "".join(reader.choice(PIECES) for _ in range(1 + reader.integer(2)))}


class Reference:
    """The text as one string, in which each position is counted from the start."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self.text, self.encoding = text, encoding
        self.version = 1
        self._last = 1
        self.is_in_sync = True

    def change(self, version: int | None, changes: list[dict[str, object]]) -> None:
        if version is None:
            self.version = self._last + 1
        else:
            self.is_in_sync = self.is_in_sync and version > self._last
            self.version = self._last = version
        for change in changes:
            self._apply(change)

    def _apply(self, change: dict[str, object]) -> None:
        changed, text = change["range"], str(change["text"])
        if not isinstance(changed, dict):
            self.text, self.is_in_sync = text, True
        elif self.is_in_sync:
            start = self.offset(changed["start"]["line"], changed["start"]["character"])
            end = self.offset(changed["end"]["line"], changed["end"]["character"])
            self.is_in_sync = start is not None and end is not None and start <= end
            if self.is_in_sync:
                self.text = f"{self.text[:start]}{text}{self.text[end:]}"

    def lines(self) -> list[tuple[int, str]]:
        """Start and content of each line."""
        found, start = [], 0
        for end in re.finditer(r"\r\n|\r|\n", self.text):
            found.append((start, self.text[start : end.start()]))
            start = end.end()
        return [*found, (start, self.text[start:])]

    def offset(self, line: int, column: int) -> int | None:
        """None inside a character."""
        lines = self.lines()
        if line >= len(lines):
            return len(self.text)
        start, content = lines[line]
        units = 0
        for index, char in enumerate(content):
            if units >= column:
                return start + index if units == column else None
            units += self.width(char)
        return start + len(content) if units <= column else None

    def width(self, char: str) -> int:
        if self.encoding is Encoding.UTF_8:
            return len(char.encode("utf-8", "surrogatepass"))
        return len(char.encode("utf-16-le", "surrogatepass")) // 2 if self.encoding is Encoding.UTF_16 else 1


def check_positions(document: Document, reference: Reference) -> None:
    """Every line begins and ends where the reference says, and positions and offsets are inverses."""
    lines = reference.lines()
    assert len(document._lines) == len(Lines(document.text)) == len(lines)
    for number, (start, content) in enumerate(lines):
        width = sum(map(reference.width, content))
        assert document.offset_at(Position(number, 0)) == start
        assert document.offset_at(Position(number, width)) == start + len(content)
        assert document.position_at(start + len(content)) == Position(number, width)
