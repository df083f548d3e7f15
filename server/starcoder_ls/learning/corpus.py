"""A training corpus as one file of uint16 token ids, and the endless stream of training rows drawn from it.

Row ``i`` of a stream depends only on the seed and ``i``, so that training resumes at any step without saved state of
the data.
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

from starcoder_ls.context.source_files import Source
from starcoder_ls.learning import fim, tokenizer_training
from starcoder_ls.learning.sources import Package

Ids = npt.NDArray[np.uint16]

# Ids of special tokens: positions in tokenizer_training.SPECIAL_TOKENS.
END_ID, FIM_PREFIX_ID, FIM_MIDDLE_ID, FIM_SUFFIX_ID, PAD_ID = range(5)
FILENAME_ID, STARS_ID, REPOSITORY_ID = 5, 6, 18

_MIN_SPAN_TOKENS = 48  # a shorter example teaches nothing and costs three special tokens
_FULL_SHARE = 0.5  # of spans, those as long as the remaining row; the others are shorter: more middles per token
_START_SHARE = 0.33  # of spans of a longer document, those that start where it starts
_INNER_METADATA_SHARE = (
    0.3  # of spans inside a document, those with metadata: a context window seldom starts at the top
)
_ENCODE_BATCH_FILES = 512
_STARS = ("0", "1-10", "10-100", "100-1000", "1000+")


def write_corpus(folder: Path, tokenizer: Tokenizer, sources: Sequence[Source], packages: Iterable[Package]) -> int:
    """Write corpus.bin (each document's ids, then ``<|endoftext|>``) and corpus.json (documents and packages).

    Returns the number of tokens.
    """
    encoder = tokenizer_training.without_special_tokens(tokenizer)
    shuffled = list(sources)
    random.Random(0).shuffle(shuffled)
    tokens = 0
    with (folder / "corpus.bin").open("wb") as file:
        for start in range(0, len(shuffled), _ENCODE_BATCH_FILES):
            batch = shuffled[start : start + _ENCODE_BATCH_FILES]
            for encoding in encoder.encode_batch([source.text for source in batch]):
                ids = np.array([*encoding.ids, END_ID], dtype=np.uint16)
                tokens += len(ids)
                ids.tofile(file)
    summary = {
        "tokens": tokens,
        "characters": sum(len(source.text) for source in shuffled),
        "documents": [[source.package, source.path] for source in shuffled],
        "packages": [[package.name, package.version, package.licence] for package in packages],
    }
    (folder / "corpus.json").write_text(json.dumps(summary), encoding="utf-8")
    return tokens


class Corpus:
    """Training rows from a corpus folder (corpus.bin, corpus.json, tokenizer.json)."""

    def __init__(self, folder: Path, mixture: fim.Mixture | None = None) -> None:
        self.mixture = mixture or fim.Mixture()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._encoder = tokenizer_training.without_special_tokens(self._tokenizer)
        self._ids: Ids = np.memmap(folder / "corpus.bin", dtype=np.uint16, mode="r")
        self._document_ends = np.flatnonzero(self._ids == END_ID)
        summary = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        self._documents: list[tuple[str, str]] = summary["documents"]

    @property
    def tokens(self) -> int:
        return len(self._ids)

    @property
    def vocabulary_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def row(self, seed: int, index: int, length: int) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """(ids, is_middle), both [length]: complete examples, then padding.

        The ``<|endoftext|>`` after a middle counts as its last token.
        """
        rng = random.Random(f"{seed}/{index}/{length}")
        ids: list[int] = []
        is_middle: list[bool] = []
        while (room := length - len(ids)) >= _MIN_SPAN_TOKENS:
            example, middle_tokens = self._sample_example(rng, room - 1)
            if not example:  # the span contained no complete line
                continue
            ids += [*example, END_ID]
            is_middle += [False] * (len(example) - middle_tokens) + [True] * middle_tokens + [middle_tokens > 0]
        padding = length - len(ids)
        return np.array(ids + [PAD_ID] * padding, dtype=np.uint16), np.array(is_middle + [False] * padding)

    def _sample_example(self, rng: random.Random, room: int) -> tuple[list[int], int]:
        """(ids, number of ids at their end that are the middle) of a random span in one of the trained orders.

        Both are empty or 0 if the span has no complete line.
        """
        document, start, end = self._sample_span(rng, room)
        text = self.decode(self._ids[start:end].tolist())
        is_start = document == 0 or start == int(self._document_ends[document - 1]) + 1
        if not is_start:  # complete lines only, as in a context window
            text = text[text.find("\n") + 1 :]
        if end < int(self._document_ends[document]):
            text = text[: text.rfind("\n") + 1]
        has_metadata = is_start or rng.random() < _INNER_METADATA_SHARE
        metadata = self._sample_metadata(rng, document) if has_metadata else []
        if not text:
            return [], 0
        if rng.random() >= self.mixture.fim_share:
            return (metadata + self.encode(text))[:room], 0
        middle_start, middle_end = fim.sample_middle(text, rng, self.mixture)
        prefix, middle, suffix = (
            self.encode(part) for part in (text[:middle_start], text[middle_start:middle_end], text[middle_end:])
        )
        # What does not fit is cut where a context window would be: far from the cursor.
        excess = max(0, len(metadata) + len(prefix) + len(middle) + len(suffix) + 3 - room)
        from_suffix = min(excess, len(suffix))
        suffix = suffix[: len(suffix) - from_suffix]
        prefix = prefix[min(excess - from_suffix, len(prefix)) :]
        middle = middle[: room - 3 - len(metadata) - len(prefix) - len(suffix)]
        if rng.random() < self.mixture.spm_share:
            return [FIM_PREFIX_ID, FIM_SUFFIX_ID, *suffix, FIM_MIDDLE_ID, *metadata, *prefix, *middle], len(middle)
        return [FIM_PREFIX_ID, *metadata, *prefix, FIM_SUFFIX_ID, *suffix, FIM_MIDDLE_ID, *middle], len(middle)

    def _sample_span(self, rng: random.Random, room: int) -> tuple[int, int, int]:
        """(document, first id, end id) of a span of at most ``room`` ids in a document drawn by its size."""
        sampled = rng.randrange(len(self._ids))
        document = int(np.searchsorted(self._document_ends, sampled))
        start = int(self._document_ends[document - 1]) + 1 if document else 0
        end = int(self._document_ends[document])
        size = room if rng.random() < _FULL_SHARE else rng.randint(min(_MIN_SPAN_TOKENS, room), room)
        if end - start > size:
            start = start if rng.random() < _START_SHARE else rng.randint(start, end - size)
            end = start + size
        return document, start, end

    def sources(self) -> Iterator[Source]:
        """The files that the corpus was made from, in its order."""
        starts = [0, *(int(end) + 1 for end in self._document_ends[:-1])]
        for (package, path), start, end in zip(self._documents, starts, self._document_ends, strict=True):
            yield Source(package, path, self.decode(self._ids[start : int(end)].tolist()))

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text; the characters of a special token in it are encoded as text."""
        return list(self._encoder.encode(text).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _sample_metadata(self, rng: random.Random, document: int) -> list[int]:
        """``<reponame>``, ``<filename>``, ``<gh_stars>``, each with its probability; a line end if there is any."""
        package, path = self._documents[document]
        metadata: list[int] = []
        for token_id, value in ((REPOSITORY_ID, package), (FILENAME_ID, path), (STARS_ID, rng.choice(_STARS))):
            if rng.random() < self.mixture.metadata_share:
                metadata += [token_id, *self.encode(value)]
        return [*metadata, *self.encode("\n")] if metadata else metadata


class RowDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The stream of rows from row ``first`` on, for a DataLoader. An item is (ids, is_middle), both [length]."""

    def __init__(self, data: Corpus, seed: int, first: int, length: int) -> None:
        self._data, self._seed, self._first, self._length = data, seed, first, length

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids, is_middle = self._data.row(self._seed, self._first + index, self._length)
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(is_middle)
