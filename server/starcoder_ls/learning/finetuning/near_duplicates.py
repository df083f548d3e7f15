"""Finds files that are nearly equal, so that none of them is learned twice or is held out and trained on at once.

MinHash with banding proposes pairs (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4), the exact Jaccard
similarity of their 5-grams of tokens decides. Hashes do not depend on the process.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIMILARITY = 0.8
"""Files whose 5-grams overlap by this share or more are duplicates (as in StarCoder's deduplication, 0.7 to 0.85)."""

_GRAM_TOKENS = 5
_BANDS, _ROWS = 32, 4  # finds a pair of similarity 0.8 with a probability of 1 - (1 - 0.8**4)**32 > 0.9999999
_TOKEN = re.compile(r"\w+|[^\w\s]")
_RANDOM = np.random.default_rng(1)
_FACTORS = _RANDOM.integers(1, 1 << 63, _BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _RANDOM.integers(0, 1 << 63, _BANDS * _ROWS, dtype=np.uint64)
_POWERS = _RANDOM.integers(1, 1 << 63, _GRAM_TOKENS, dtype=np.uint64) | np.uint64(1)

Hashes = npt.NDArray[np.uint64]


def find_near_duplicates(texts: Sequence[str]) -> dict[int, int]:
    """Index of a text -> index of the earlier text that it nearly equals. The earlier one is never a duplicate."""
    grams = [hash_grams(text) for text in texts]
    buckets: dict[tuple[int, bytes], list[int]] = {}
    duplicates: dict[int, int] = {}
    for number, own in enumerate(grams):
        keys = _band_keys(own)
        candidates = dict.fromkeys(candidate for key in keys for candidate in buckets.get(key, ()))
        original = next((index for index in candidates if jaccard(own, grams[index]) >= SIMILARITY), None)
        if original is not None:
            duplicates[number] = original
            continue
        for key in keys:
            buckets.setdefault(key, []).append(number)
    return duplicates


def hash_grams(text: str) -> Hashes:
    """Sorted hashes of the different 5-grams of tokens; of all tokens together in a shorter text."""
    tokens = np.array([zlib.crc32(token.encode()) for token in _TOKEN.findall(text)], dtype=np.uint64)
    count = max(1, len(tokens) - _GRAM_TOKENS + 1)
    grams = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for position, power in enumerate(_POWERS):
            part = tokens[position : position + count] * power
            grams[: len(part)] += part
    return np.unique(grams)


def jaccard(first: Hashes, second: Hashes) -> float:
    """Size of the intersection by size of the union."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def _band_keys(grams: Hashes) -> list[tuple[int, bytes]]:
    with np.errstate(over="ignore"):
        signature = [(grams * factor + offset).min() for factor, offset in zip(_FACTORS, _OFFSETS, strict=True)]
    values = np.array(signature, dtype=np.uint64).reshape(_BANDS, _ROWS)
    return [(band, values[band].tobytes()) for band in range(_BANDS)]
