"""``NgramMixer`` in compiled kernels, for logits on a CPU: what a token of a small model costs is mostly its choice.

Tokens that were found in a text are kept for the next request, whose text begins alike while the user types.
"""

from __future__ import annotations

import bisect
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from starcoder_ls.engine.generation.ngram_mixing import (
    MATCH_CHARS,
    MAX_CONTINUATION_CHARS,
    MAX_COUNT,
    MAX_OCCURRENCES,
    MIN_OTHER_FILE_CHARS,
    SEPARATOR,
    Encode,
    NgramStrengths,
)
from starcoder_ls.engine.logits import Logits
from starcoder_ls.text_tokens.candidate import SampledToken

MAX_RETAINED_TEXTS = 32

MAX_EDITED_CHARS = 64
"""At the end of a text, in which the next one may differ and still be recognised as its continuation."""

_UTF_32 = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"


class SearchedText:
    """A text as the kernels read it, and the first token at each offset as far as it has been looked up."""

    def __init__(self, text: str) -> None:
        from starcoder_ls.engine.runner.kernels.ngrams import UNKNOWN

        self.text = text
        self.characters = _characters(text)
        self.token_ids = np.full(len(text), UNKNOWN, np.int64)

    def reuse_token_ids(self, earlier: SearchedText) -> bool:
        """Take over the tokens that ``earlier`` has; False if its text begins differently."""
        head = max(0, len(earlier.text) - MAX_EDITED_CHARS)
        if not head or not self.text.startswith(earlier.text[:head]):
            return False
        known = max(0, head - MAX_CONTINUATION_CHARS)
        self.token_ids[:known] = earlier.token_ids[:known]
        return True

    def look_up(self, offsets: Sequence[int], encode: Encode) -> None:
        """Find the first tokens of the text at ``offsets``, tokenized as after a cursor there."""
        from starcoder_ls.engine.runner.kernels.ngrams import NO_TOKEN

        for offset in offsets:
            continuation = self.text[offset : offset + MAX_CONTINUATION_CHARS].partition(SEPARATOR)[0]
            self.token_ids[offset] = encode(continuation)[0] if continuation else NO_TOKEN


class SearchedTexts:
    """The texts that were searched last."""

    def __init__(self) -> None:
        self._texts: deque[SearchedText] = deque(maxlen=MAX_RETAINED_TEXTS)

    def get(self, text: str) -> SearchedText:
        """``text``, with the tokens that were found in it, or in one that began like it."""
        for known in self._texts:
            if known.text == text:
                return known
        searched = SearchedText(text)
        for known in reversed(self._texts):
            if searched.reuse_token_ids(known):
                self._texts.remove(known)
                break
        self._texts.append(searched)
        return searched


class CompiledNgrams:
    """The strengths of a checkpoint as a table, and the memory that the kernels use. For one thread."""

    def __init__(self, strengths: NgramStrengths, encode: Encode) -> None:
        from starcoder_ls.engine.runner.kernels import ngrams

        levels = len(MATCH_CHARS)
        self.find_matches: Any = ngrams.find_matches
        self.add_levels: Any = ngrams.add_levels
        self.mix: Any = ngrams.mix
        self.encode = encode
        self.texts = SearchedTexts()
        self.lengths = np.array(MATCH_CHARS, np.int64)
        self.first_of_other_files = bisect.bisect_left(MATCH_CHARS, MIN_OTHER_FILE_CHARS)
        self.strengths = np.zeros((levels, MAX_COUNT + 1, 2))
        for level, length in enumerate(MATCH_CHARS):
            for count in range(1, MAX_COUNT + 1):
                for is_many, kind in enumerate(("one", "many")):
                    strength = strengths.by_evidence.get(f"{length}/{count}/{kind}", 0.0)
                    self.strengths[level, count, is_many] = strength
        self.ends = np.empty((levels, MAX_OCCURRENCES), np.int64)
        self.counts = np.empty(levels, np.int64)
        self.unknown = np.empty(levels * MAX_OCCURRENCES, np.int64)
        self.ids = np.empty(2 * levels * MAX_OCCURRENCES, np.int64)
        self.shares = np.empty(2 * levels * MAX_OCCURRENCES)
        self.state, self.selected = np.empty(2), np.empty(2)
        self.scratch = np.empty(0, np.float32)


def compile_kernels(vocabulary_size: int) -> None:
    """Compile the kernels for this processor or load them from the cache, which takes seconds: before the first key."""
    ngrams = CompiledNgrams(NgramStrengths({}), lambda _: (0,))
    mixer = CompiledNgramMixer(ngrams, "begin, begin", (), ("begin again",))
    mixer.mix(Logits(torch.zeros(1, vocabulary_size)), [""])


class CompiledNgramMixer:
    """``NgramMixer`` for the text ``before`` the cursor, the ``others`` of its document, and ``other_files``."""

    def __init__(
        self, ngrams: CompiledNgrams, before: str, others: Sequence[str], other_files: Sequence[str] = ()
    ) -> None:
        self._ngrams = ngrams
        self._tail = before[-MATCH_CHARS[-1] :]
        # The text before the cursor comes last: of too many occurrences the last are used.
        self._document = ngrams.texts.get(SEPARATOR.join((*others, before)))
        self._other_files = ngrams.texts.get(SEPARATOR.join((*other_files, ""))) if other_files else None

    def mix(self, logits: Logits, generated: Sequence[str | None]) -> Logits:
        """As ``NgramMixer.mix``, with the likeliest tokens.  # [rows, vocabulary] -> the same shape"""
        values = logits.on_cpu().numpy().copy()
        if len(self._ngrams.scratch) != values.shape[1]:
            self._ngrams.scratch = np.empty(values.shape[1], np.float32)
        tokens = [self._mix_row(row, text) for row, text in zip(values, generated, strict=True)]
        return Logits(torch.from_numpy(values), tokens)

    def _mix_row(self, row: np.ndarray, generated: str | None) -> SampledToken:
        """Mix into ``row``  # [vocabulary]; returns its likeliest token."""
        memory = self._ngrams
        memory.state[:] = 0.0, 1.0  # no tokens with a share; all is the model's
        if generated is not None and (text := self._tail + generated):
            tail = _characters(text[-MATCH_CHARS[-1] :])
            level = self._add_levels(self._document, tail, 0)
            if self._other_files is not None:
                first = max(level, memory.first_of_other_files)
                self._add_levels(self._other_files, tail, first)
        memory.mix(row.ctypes.data, len(row), memory.ids, memory.shares, memory.state, memory.scratch, memory.selected)
        id_, logprob = memory.selected.tolist()
        return SampledToken(int(id_), logprob)

    def _add_levels(self, searched: SearchedText, tail: np.ndarray, first: int) -> int:
        """Add what followed matches in a text, of the lengths from number ``first`` on; the first without followers."""
        memory = self._ngrams
        if first == len(memory.lengths):
            return first
        unknown = memory.find_matches(
            searched.characters, tail, memory.lengths, first, searched.token_ids, memory.ends, memory.counts,
            memory.unknown,
        )  # fmt: skip
        if unknown:
            searched.look_up(memory.unknown[:unknown].tolist(), memory.encode)
        level: int = memory.add_levels(
            searched.token_ids, memory.ends, memory.counts, first, memory.strengths, memory.ids, memory.shares,
            memory.state,
        )  # fmt: skip
        return level


def _characters(text: str) -> np.ndarray:
    """The code points.  # [characters], uint32"""
    return np.frombuffer(text.encode(_UTF_32, "surrogatepass"), np.uint32)
