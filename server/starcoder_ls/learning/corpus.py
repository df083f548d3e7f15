"""One training corpus as one file of uint16 ids, and the endless stream of training rows drawn from it.

Row ``i`` of a stream depends only on the seed and ``i``, so that training resumes at any step with nothing saved.
Refuses to know the model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch.utils.data import Dataset

from starcoder_ls.learning import fim, tokenizer_training
from starcoder_ls.learning.sources import Package, Source

Ids = npt.NDArray[np.uint16]

END, PREFIX, MIDDLE, SUFFIX, PAD = range(5)
FILENAME, STARS, REPOSITORY = 5, 6, 18
_MIN_PIECE_TOKENS = 48  # less teaches nothing and costs three special tokens
_FULL_SHARE = 0.5  # pieces as long as the room left; the others are drawn shorter, which gives more middles per token
_START_SHARE = 0.33  # pieces of a longer document that begin where it begins
_HEAD_SHARE_INSIDE = 0.3  # pieces from inside a document that carry its metadata: a window seldom starts at the top
_STARS = ("0", "1-10", "10-100", "100-1000", "1000+")


def write(folder: Path, tokenizer: Tokenizer, training: Sequence[Source], packages: Iterable[Package]) -> int:
    """corpus.bin: each document's ids and ``<|endoftext|>``; corpus.json: what it is made of. Returns tokens."""
    reader = tokenizer_training.plain(tokenizer)
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
        self._plain = tokenizer_training.plain(self._tokenizer)
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

    def row(self, seed: int, index: int, length: int) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """One row of exactly ``length`` ids, made of whole examples and padding; and which of them are middles.

        The ``<|endoftext|>`` after a middle counts as its last token.
        """
        rng = random.Random(f"{seed}/{index}/{length}")
        ids: list[int] = []
        middles: list[bool] = []
        while (room := length - len(ids)) >= _MIN_PIECE_TOKENS:
            example, middle_tokens = self._example(rng, room - 1)
            if not example:  # no whole line fell into the piece
                continue
            ids += [*example, END]
            middles += [False] * (len(example) - middle_tokens) + [True] * middle_tokens + [middle_tokens > 0]
        padding = length - len(ids)
        return np.array(ids + [PAD] * padding, dtype=np.uint16), np.array(middles + [False] * padding)

    def _example(self, rng: random.Random, room: int) -> tuple[list[int], int]:
        """A piece of a document drawn by size, in one of the trained orders; how many ids at its end are the middle."""
        document, begin, end = self._piece(rng, room)
        text = self.decode(self._ids[begin:end].tolist())
        is_head = document == 0 or begin == int(self._ends[document - 1]) + 1
        if not is_head:  # as a window: whole lines
            text = text[text.find("\n") + 1 :]
        if end < int(self._ends[document]):
            text = text[: text.rfind("\n") + 1]
        head = self._metadata(rng, document) if is_head or rng.random() < _HEAD_SHARE_INSIDE else []
        if not text:
            return [], 0
        if rng.random() >= self.recipe.fim_share:
            return (head + self.encode(text))[:room], 0
        first, second = fim.cut(text, rng, self.recipe)
        prefix, middle, suffix = (self.encode(text[a:b]) for a, b in ((0, first), (first, second), (second, len(text))))
        excess = max(0, len(head) + len(prefix) + len(middle) + len(suffix) + 3 - room)
        from_suffix = min(excess, len(suffix))  # what does not fit goes where a window would end: far from the cursor
        suffix = suffix[: len(suffix) - from_suffix]
        prefix = prefix[min(excess - from_suffix, len(prefix)) :]
        middle = middle[: room - 3 - len(head) - len(prefix) - len(suffix)]
        if rng.random() < self.recipe.spm_share:
            return [PREFIX, SUFFIX, *suffix, MIDDLE, *head, *prefix, *middle], len(middle)
        return [PREFIX, *head, *prefix, SUFFIX, *suffix, MIDDLE, *middle], len(middle)

    def _piece(self, rng: random.Random, room: int) -> tuple[int, int, int]:
        """(document, first id, end id) of at most ``room`` ids; half of the pieces are shorter than the room."""
        at = rng.randrange(len(self._ids))
        document = int(np.searchsorted(self._ends, at))
        begin = int(self._ends[document - 1]) + 1 if document else 0
        end = int(self._ends[document])
        size = room if rng.random() < _FULL_SHARE else rng.randint(min(_MIN_PIECE_TOKENS, room), room)
        if end - begin > size:
            begin = begin if rng.random() < _START_SHARE else rng.randint(begin, end - size)
            end = begin + size
        return document, begin, end

    def sources(self) -> Iterator[Source]:
        """What the corpus was made of, in its order."""
        begins = [0, *(int(end) + 1 for end in self._ends[:-1])]
        for (package, path), begin, end in zip(self._names, begins, self._ends, strict=True):
            yield Source(package, path, self.decode(self._ids[begin : int(end)].tolist()))

    def encode(self, text: str) -> list[int]:
        """Ids of plain text: a special token in it is text."""
        return list(self._plain.encode(text).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _metadata(self, rng: random.Random, document: int) -> list[int]:
        """``<reponame>``, ``<filename>``, ``<gh_stars>``, each at its rate, and a line end if there is any."""
        package, path = self._names[document]
        head: list[int] = []
        for token, value in ((REPOSITORY, package), (FILENAME, path), (STARS, rng.choice(_STARS))):
            if rng.random() < self.recipe.metadata_share:
                head += [token, *self.encode(value)]
        return [*head, *self.encode("\n")] if head else head


class Rows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The row stream from row ``first`` on, for a loader's workers."""

    def __init__(self, data: Corpus, seed: int, first: int, length: int) -> None:
        self._data, self._seed, self._first, self._length = data, seed, first, length

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids, is_middle = self._data.row(self._seed, self._first + index, self._length)
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(is_middle)
