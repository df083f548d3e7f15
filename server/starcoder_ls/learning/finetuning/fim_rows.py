"""Training rows from source files in the prompt format of any model family, with middles where users' cursors are.

The prompts are those that the server builds (``completion.prompt.fim``), so that an adapter learns what it will read.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from starcoder_ls.completion.prompt import fim as prompt_format
from starcoder_ls.completion.prompt.families import Family, find_family
from starcoder_ls.completion.prompt.fim import Order, PromptParts
from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.errors import ModelUnsupported
from starcoder_ls.generation import SpecialToken
from starcoder_ls.learning import fim
from starcoder_ls.learning.finetuning.batches import Batch, Row, stack_rows
from starcoder_ls.learning.finetuning.ngram_shares import Middle, shares_of
from starcoder_ls.text_tokens.tokenizer import Tokenizer

MIDDLE_WEIGHT = 4.0
"""Weight of a middle's tokens in the loss, as in the training of the bundled model: middles are a few percent of a
row."""

REPLAY_SHARE = 0.25
"""Of the examples, those from general code: with it an adapter passed the gate that had failed without it."""

_MIN_EXAMPLE_TOKENS = 48
_FORMAT_TOKENS = 24  # special tokens and the file's name
_FULL_SHARE = 0.5  # of the examples, those as long as the rest of the row
_START_SHARE = 0.33  # of the examples from a longer file, those that begin where it begins


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How a base was trained to fill in the middle. ``end_id`` follows a middle, and stands between examples."""

    family: Family
    special_tokens: frozenset[str]
    tokenizer: Tokenizer
    end_id: int

    @classmethod
    def of(cls, checkpoint: Checkpoint, tokenizer: Tokenizer) -> RowFormat:
        """Raises ModelUnsupported if the base cannot fill in the middle, or has no end token."""
        family = find_family(tokenizer.special_tokens)
        own_end = SpecialToken("▁<EOT>")  # Code Llama ends a middle with a token of its own (codellama, generation.py)
        if family.name == "code-llama" and own_end.literal in tokenizer.special_tokens:
            return cls(family, tokenizer.special_tokens, tokenizer, tokenizer.special_token_id(own_end))
        return cls(family, tokenizer.special_tokens, tokenizer, end_of_text_id(checkpoint))

    def order(self, rng: random.Random, spm_share: float) -> Order:
        """An order that the family was trained on; the server uses SPM where there is SPM, else ``psm_line``."""
        if self.family.has_spm:
            return "spm" if rng.random() < spm_share else "psm"
        return "psm_line" if rng.random() < spm_share else "psm"


def end_of_text_id(checkpoint: Checkpoint) -> int:
    """The first end token of config.json, else of generation_config.json. Raises ModelUnsupported if there is none."""
    declared = checkpoint.config.get("eos_token_id")
    end_ids = [id_ for id_ in (declared if isinstance(declared, list) else [declared]) if isinstance(id_, int)]
    if not (end_ids or checkpoint.end_ids):
        raise ModelUnsupported(f"{checkpoint.folder} names no end token, which training needs. Set `eos_token_id`.")
    return (end_ids or sorted(checkpoint.end_ids))[0]


@dataclass(frozen=True, slots=True)
class _Example:
    """``middle_tokens`` of the ids, at their end, are the middle, which is ``around`` two texts. ``is_complete``: the
    end token belongs after it."""

    ids: list[int]
    middle_tokens: int = 0
    is_complete: bool = False
    around: tuple[str, str] = ("", "")


class FimRows:
    """``Batches`` of rows drawn from texts, each text by its length.

    ``texts`` are (path, text). ``epochs`` times their tokens are one run; with ``replay``, (path, text) of general
    code, ``replay_share`` of the examples come from there. With ``strengths``, batches say what n-grams add.
    """

    def __init__(
        self,
        texts: Sequence[tuple[str, str]],
        row_format: RowFormat,
        row_tokens: int,
        batch_rows: int,
        epochs: float = 1.0,
        seed: int = 0,
        replay: Sequence[tuple[str, str]] = (),
        replay_share: float = REPLAY_SHARE,
        mixture: fim.Mixture | None = None,
        strengths: NgramStrengths | None = None,
    ) -> None:
        self._strengths = strengths
        self._format, self._mixture = row_format, mixture or fim.Mixture()
        self._row_tokens, self._batch_rows, self._seed = row_tokens, batch_rows, seed
        self._texts, self._replay, self._replay_share = list(texts), list(replay), replay_share if replay else 0.0
        self._ends = list(itertools.accumulate(len(text) for _, text in self._texts))
        self._replay_ends = list(itertools.accumulate(len(text) for _, text in self._replay))
        self.tokens = sum(row_format.tokenizer.count_tokens(text) for _, text in self._texts)
        """Of all texts, each once."""
        self._chars_per_token = self._ends[-1] / max(1, self.tokens)
        self._steps = max(1, round(epochs * self.tokens / (row_tokens * batch_rows)))

    def __len__(self) -> int:
        return self._steps

    def batch(self, step: int) -> Batch:
        """The batch of a step, which may be beyond the length."""
        first = step * self._batch_rows
        rows = [self._row(index) for index in range(first, first + self._batch_rows)]
        batch = stack_rows([row for row, _ in rows])
        if self._strengths is None:
            return batch
        model, ngrams = torch.ones_like(batch.weights), torch.zeros_like(batch.weights)
        for number, (_, middles) in enumerate(rows):
            for middle in middles:
                shares = torch.tensor(shares_of(middle, self._strengths, self._format.tokenizer))
                here = slice(middle.start, middle.start + len(shares))
                model[number, here], ngrams[number, here] = shares[:, 0], shares[:, 1]
        return replace(batch, model_share=model, ngram_share=ngrams)

    def row(self, index: int) -> Row:
        """Complete examples, one after the other, up to ``row_tokens`` tokens."""
        return self._row(index)[0]

    def middles(self, index: int) -> list[Middle]:
        """The middles in a row."""
        return self._row(index)[1]

    def _row(self, index: int) -> tuple[Row, list[Middle]]:
        rng = random.Random(f"{self._seed}/{index}/{self._row_tokens}")
        ids: list[int] = []
        weights: list[float] = []
        is_middle: list[bool] = []
        middles: list[Middle] = []
        while (room := self._row_tokens - len(ids)) >= _MIN_EXAMPLE_TOKENS:
            example = self._example(rng, room - 1)
            if not example.ids:
                continue
            rest = len(example.ids) - example.middle_tokens
            if example.middle_tokens:
                learned = (*example.ids[rest:], *([self._format.end_id] if example.is_complete else []))
                middles.append(Middle(len(ids) + rest, learned, *example.around))
            ids += [*example.ids, self._format.end_id]
            has_middle = example.middle_tokens > 0
            weights += [1.0] * rest + [MIDDLE_WEIGHT] * example.middle_tokens
            weights.append((MIDDLE_WEIGHT if has_middle else 1.0) if example.is_complete else 0.0)
            is_middle += [False] * rest + [True] * example.middle_tokens + [example.is_complete and has_middle]
        return (ids, weights, is_middle), middles

    def _example(self, rng: random.Random, room: int) -> _Example:
        """Without ids if the drawn text has no complete line."""
        path, text, is_at_end = self._span(rng, room)
        if not text:
            return _Example([])
        path = path if rng.random() < self._mixture.metadata_share else ""
        if rng.random() >= self._mixture.fim_share:
            ids = self._format.tokenizer.encode([text])
            return _Example(ids[:room], is_complete=is_at_end and len(ids) <= room)
        start, end = fim.sample_middle(text, rng, self._mixture, self._format.family.joins_punctuation)
        order = self._format.order(rng, self._mixture.spm_share)
        layout = prompt_format.build_parts(
            self._format.family, self._format.special_tokens, text[:start], text[end:], path, order
        )
        middle = self._format.tokenizer.encode([text[start:end]])
        prompt = self._fit(layout, room - min(len(middle), room // 2))
        kept = middle[: room - len(prompt)]
        return _Example([*prompt, *kept], len(kept), len(kept) == len(middle), (text[:start], text[end:]))

    def _fit(self, layout: PromptParts, room: int) -> list[int]:
        """The prompt's ids; what does not fit is cut where a context window would be: far from the cursor."""
        parts = [self._format.tokenizer.encode([part]) for part in layout.parts]
        excess = sum(map(len, parts)) - room
        suffix = layout.parts.index(SpecialToken(self._format.family.suffix)) + 1
        if excess > 0 and suffix < len(parts) and isinstance(layout.parts[suffix], str):
            cut = min(excess, len(parts[suffix]))
            parts[suffix], excess = parts[suffix][: len(parts[suffix]) - cut], excess - cut
        for index in layout.prefix_parts:
            cut = max(0, min(excess, len(parts[index])))
            parts[index], excess = parts[index][cut:], excess - cut
        return list(itertools.chain.from_iterable(parts))

    def _span(self, rng: random.Random, room: int) -> tuple[str, str, bool]:
        """Path, complete lines of about ``room`` tokens, and whether the file ends with them."""
        is_replayed = rng.random() < self._replay_share
        texts, ends = (self._replay, self._replay_ends) if is_replayed else (self._texts, self._ends)
        path, text = rng.choices(texts, cum_weights=ends)[0]
        tokens = room if rng.random() < _FULL_SHARE else rng.randint(min(_MIN_EXAMPLE_TOKENS, room), room)
        chars = max(1, int(max(_MIN_EXAMPLE_TOKENS // 2, tokens - _FORMAT_TOKENS) * self._chars_per_token))
        if len(text) <= chars:
            return path, text, True
        start = 0 if rng.random() < _START_SHARE else rng.randint(0, len(text) - chars)
        end = start + chars
        if start:
            start = text.find("\n", start - 1, end) + 1 or end
        end = end if end == len(text) else text.rfind("\n", start, end) + 1
        return path, text[start : max(start, end)], end == len(text)
