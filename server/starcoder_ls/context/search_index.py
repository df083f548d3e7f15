"""A full-text index in memory that finds the chunks of a repository which share identifiers with a text.

Decides how chunks are ranked and when the index is full. It does not keep the texts.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.context.identifiers import split_into_chunks

logger = logging.getLogger(__name__)

MAX_CHARS = 160_000_000
"""Of indexed text: about 25 MB of index. Each chunk counts as at least MIN_CHUNK_CHARS."""

MIN_CHUNK_CHARS = 500
"""A chunk takes about 200 bytes beside its words: at most 320,000 chunks take 64 MB."""

MAX_DATABASE_BYTES = 128 * 1024 * 1024
"""Of SQLite's pages: text of random words takes more than code."""

_MAX_CHUNKS_OF_A_WORD = 250
"""A word in more chunks distinguishes nothing."""

_MAX_REMOVED_SHARE = 0.2
_MIN_REMOVED_CHUNKS = 1000

_TABLE = "create virtual table pieces using fts5(text, content='', detail=none, tokenize=\"unicode61 tokenchars '_'\")"
_REMOVED_TABLE = "create table removals.removed(row integer primary key)"
_ROWS_WITH_WORD = "select rowid from pieces where pieces match ? and rowid not in (select row from removed) limit ?"


@dataclass(frozen=True, slots=True)
class SearchHit:
    """The chunk from ``start_line`` on in ``path``. ``score`` is the sum of the rarities of the words it shares."""

    path: str
    start_line: int
    score: float


@dataclass(frozen=True, slots=True)
class _IndexedFile:
    rows: range
    chars: int
    text_hash: int


class SearchIndex:
    """An index that any thread may use.

    SQLite's FTS5 tokenizes and stores without Python's lock: 5,000 files take 2 s, and a search for 40 words in 70,000
    chunks 3 ms. (bm25s and rank-bm25 build an index once and cannot follow edits.)
    """

    def __init__(self, max_chars: int = MAX_CHARS) -> None:
        self._max_chars = max_chars
        self._lock = threading.Lock()
        self._database = _create_database()
        self._chunks: dict[int, tuple[str, int]] = {}
        self._files: dict[str, _IndexedFile] = {}
        self._next_row = 1
        self._removed_chunks = 0
        self._chars = 0

    def __len__(self) -> int:
        """The number of files."""
        return len(self._files)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    @property
    def is_full(self) -> bool:
        return self._chars >= self._max_chars

    @property
    def needs_rebuild(self) -> bool:
        """Removed chunks take a fifth of the index: FTS5 without texts cannot delete rows; searches skip them."""
        max_removed = len(self._chunks) * _MAX_REMOVED_SHARE / (1 - _MAX_REMOVED_SHARE)
        return self._removed_chunks > max(_MIN_REMOVED_CHUNKS, max_removed)

    def add(self, path: str, text: str) -> bool:
        """Index ``text`` as the content of ``path``, replacing an earlier one. False if the index is full or closed."""
        with self._lock:
            if self._database is None:
                return False
            if (known := self._files.get(path)) and known.text_hash == hash(text):
                return True
            self._remove(path)
            chunks = list(split_into_chunks(path, text))
            chars = max(len(text), MIN_CHUNK_CHARS * len(chunks))
            if self._chars + chars > self._max_chars:
                return False
            rows = range(self._next_row, self._next_row + len(chunks))
            self._next_row = rows.stop
            try:
                texts = zip(rows, (chunk.text for chunk in chunks), strict=True)
                self._database.executemany("insert into pieces(rowid, text) values (?, ?)", texts)
            except sqlite3.OperationalError as error:  # the database is full
                logger.info("the search index is full: %s", error)
                self._max_chars = self._chars
                self._remove_rows(rows)
                return False
            self._chunks.update({row: (path, chunk.start_line) for row, chunk in zip(rows, chunks, strict=True)})
            self._files[path] = _IndexedFile(rows, chars, hash(text))
            self._chars += chars
        return True

    def remove(self, path: str) -> None:
        """Forget ``path``; does nothing if it is not in the index."""
        with self._lock:
            self._remove(path)

    def _remove(self, path: str) -> None:
        if (file := self._files.pop(path, None)) is not None:
            for row in file.rows:
                del self._chunks[row]
            self._chars -= file.chars
            self._remove_rows(file.rows)

    def _remove_rows(self, rows: range) -> None:
        """The rows stay in the table, but no search finds them."""
        self._removed_chunks += len(rows)
        if self._database is not None:
            self._database.executemany("insert into removed values (?)", ((row,) for row in rows))

    def paths(self) -> list[str]:
        with self._lock:
            return list(self._files)

    def search(self, words: Sequence[str], limit: int) -> tuple[list[SearchHit], dict[str, float]]:
        """Up to ``limit`` chunks that share most of ``words``, best first; and the rarity of each word (0: everywhere).

        Each shared word counts once, by its inverse document frequency: within 30 lines its number of occurrences says
        little, and an index without frequencies is half the size.
        """
        with self._lock:
            if self._database is None or not self._chunks:
                return [], {}
            total = len(self._chunks)
            scores: dict[int, float] = {}
            rarity: dict[str, float] = {}
            for word in words:
                rows = self._rows_with(word) if word.isidentifier() else []
                count = len(rows)
                rarity[word] = 0.0 if count > _MAX_CHUNKS_OF_A_WORD else math.log(1 + total / (count + 0.5))
                if 0 < count <= _MAX_CHUNKS_OF_A_WORD:
                    for row in rows:
                        scores[row] = scores.get(row, 0.0) + rarity[word]
            best = sorted(scores, key=lambda row: (-scores[row], row))
            return [SearchHit(*self._chunks[row], scores[row]) for row in best[:limit]], rarity

    def _rows_with(self, word: str) -> list[int]:
        assert self._database is not None
        found = self._database.execute(_ROWS_WITH_WORD, (f'"{word}"', _MAX_CHUNKS_OF_A_WORD + 1))
        return [row for (row,) in found]

    def close(self) -> None:
        """Free the memory. A closed index finds nothing and takes nothing."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = None


def _create_database() -> sqlite3.Connection | None:
    """None if this Python's SQLite lacks FTS5: then there are no snippets from the repository."""
    database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    try:
        page_bytes = database.execute("pragma page_size").fetchone()[0]
        database.execute(f"pragma max_page_count = {MAX_DATABASE_BYTES // page_bytes}")
        database.execute(_TABLE)
        database.execute("attach ':memory:' as removals")  # not limited: rows can be removed from a full database
        database.execute(_REMOVED_TABLE)
    except sqlite3.OperationalError as error:
        logger.warning("this SQLite has no full-text search (%s): the repository is not searched", error)
        database.close()
        return None
    return database
