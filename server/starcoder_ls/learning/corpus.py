"""One training corpus as one file of uint16 ids, and the endless stream of training rows drawn from it.

Row ``i`` of a stream depends only on the seed and ``i``, so that training resumes at any step with nothing saved.
Refuses to know the model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from starcoder_ls.learning import fim, vocabulary
from starcoder_ls.learning.sources import Package, Source

Ids = npt.NDArray[np.uint16]

END, PREFIX, MIDDLE, SUFFIX, PAD = range(5)
FILENAME, STARS, REPOSITORY = 5, 6, 18
_MIN_PIECE_TOKENS = 48  # less teaches nothing and costs three special tokens
_STARS = ("0", "1-10", "10-100", "100-1000", "1000+")


def write(folder: Path, tokenizer: Tokenizer, training: Sequence[Source], packages: Iterable[Package]) -> int:
    """corpus.bin: each document's ids followed by ``<|endoftext|>``; corpus.json: what it is made of. Returns tokens."""
    reader = vocabulary.plain(tokenizer)
    order = list(training)
    random.Random(0).shuffle(order)
    total = 0
    with (folder / "corpus.bin").open("wb") as file:
        for begin in range(0, len(order), 512):
            for encoding in reader.encode_batch([source.text for source in order[begin : begin + 512]]):
                ids = np.array([*encoding.ids, END], dtype=np.uint16)
                total += len(ids)
                ids.tofile(file)
    described = {
        "tokens": total,
        "characters": sum(len(source.text) for source in order),
        "documents": [[source.package, source.path] for source in order],
        "packages": [[p.name, p.version, p.licence] for p in packages],
    }
    (folder / "corpus.json").write_text(json.dumps(described), encoding="utf-8")
    return total


class Corpus:
    """Training rows from a corpus folder (corpus.bin, corpus.json, tokenizer.json)."""

    def __init__(self, folder: Path, recipe: fim.Recipe | None = None) -> None:
        self.recipe = recipe or fim.Recipe()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._plain = vocabulary.plain(self._tokenizer)
        self._ids: Ids = np.memmap(folder / "corpus.bin", dtype=np.uint16, mode="r")
        self._ends = np.flatnonzero(self._ids == END)
        self._names: list[tuple[str, str]] = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))[
            "documents"
        ]

    @property
    def tokens(self) -> int:
        return len(self._ids)

    @property
    def vocabulary_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def row(self, seed: int, index: int, length: int) -> Ids:
        """One row of exactly ``length`` ids, made of whole examples; the last one may be cut."""
        rng = random.Random(f"{seed}/{index}/{length}")
        row: list[int] = []
        while len(row) < length - _MIN_PIECE_TOKENS:
            row += self._example(rng, length - len(row))
            row.append(END)
        row += [PAD] * (length - len(row))
        return np.array(row[:length], dtype=np.uint16)

    def rows(self, seed: int, first: int, count: int, length: int) -> npt.NDArray[np.int64]:
        """Rows ``first`` .. ``first + count``.  # [count, length]"""
        return np.stack([self.row(seed, first + i, length) for i in range(count)]).astype(np.int64)

    def _example(self, rng: random.Random, room: int) -> list[int]:
        """A piece of a document drawn by size, in one of the trained orders, at most ``room`` ids but for rounding."""
        at = rng.randrange(len(self._ids))
        document = int(np.searchsorted(self._ends, at))
        begin = int(self._ends[document - 1]) + 1 if document else 0
        end = int(self._ends[document])
        if end - begin > room:  # a window that reaches into the document, at its start one time in three
            begin = begin if rng.random() < 0.33 else rng.randint(begin, end - room)
            end = begin + room
        is_head = document == 0 or begin == int(self._ends[document - 1]) + 1
        text = self._tokenizer.decode(self._ids[begin:end].tolist(), skip_special_tokens=False)
        head = self._metadata(rng, document) if is_head or rng.random() < 0.3 else []
        if rng.random() >= self.recipe.fim_share or not text:
            return head + self._encode(text)
        first, second = fim.cut(text, rng, self.recipe)
        prefix, middle, suffix = (
            self._encode(text[a:b]) for a, b in ((0, first), (first, second), (second, len(text)))
        )
        if rng.random() < self.recipe.spm_share:
            return [PREFIX, SUFFIX, *suffix, MIDDLE, *head, *prefix, *middle]
        return [PREFIX, *head, *prefix, SUFFIX, *suffix, MIDDLE, *middle]

    def _encode(self, text: str) -> list[int]:
        return list(self._plain.encode(text).ids)

    def _metadata(self, rng: random.Random, document: int) -> list[int]:
        """``<reponame>``, ``<filename>``, ``<gh_stars>``, each at its rate, and a line end if there is any."""
        package, path = self._names[document]
        head: list[int] = []
        for token, value in ((REPOSITORY, package), (FILENAME, path), (STARS, rng.choice(_STARS))):
            if rng.random() < self.recipe.metadata_share:
                head += [token, *self._encode(value)]
        return [*head, *self._encode("\n")] if head else head
