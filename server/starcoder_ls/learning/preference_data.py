"""The data of a run of ``train preferences``: which loss it uses, and the token ids to train on and to measure with.

A tenth of the files is held out. DPO learns from pairs, KTO from judged suggestions.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from starcoder_ls.errors import SettingsError
from starcoder_ls.feedback_store.rows import FeedbackRow
from starcoder_ls.learning.preference_ids import JudgedIds, PairIds, PreferenceTokenizer
from starcoder_ls.learning.preference_selection import Filters, select_preferences

AUTO, DPO, KTO = "auto", "dpo", "kto"
LOSSES = (AUTO, DPO, KTO)

_Example = TypeVar("_Example", PairIds, JudgedIds)

HELD_OUT_SHARE = 0.1

MIN_PAIRS = 50
"""Fewer pairs, or judged suggestions of either kind, are not trained on: they change nothing that can be measured."""


@dataclass(frozen=True, slots=True)
class PreferenceData:
    """``training`` and ``held_out`` are pairs (``loss`` is DPO) or judged suggestions (KTO), never of the same file.

    ``left_out`` counts the outcomes that were not used by the reason. The order of ``training`` is random.
    """

    loss: str
    training: Sequence[PairIds | JudgedIds]
    held_out: Sequence[PairIds | JudgedIds]
    left_out: Counter[str]

    @property
    def training_groups(self) -> frozenset[str]:
        """The hashes of the files that are trained on."""
        return frozenset(example.group for example in self.training)

    @property
    def training_tokens(self) -> int:
        """All tokens that one epoch reads; a pair is two sequences."""
        return sum(sum(map(len, sequences_of(example))) for example in self.training)


def sequences_of(example: PairIds | JudgedIds) -> list[tuple[int, ...]]:
    """The sequences that the model reads for an example."""
    if isinstance(example, PairIds):
        return [example.prompt + example.chosen, example.prompt + example.rejected]
    return [example.prompt + example.completion]


def prepare_data(
    rows: Sequence[FeedbackRow], tokenizer: PreferenceTokenizer, loss: str, filters: Filters
) -> PreferenceData:
    """The data in ``rows``, the oldest of which comes first.

    With AUTO, DPO if there are enough pairs, else KTO. Raises SettingsError if there is too little.
    """
    if loss not in LOSSES:
        raise SettingsError(f"--loss {loss}: there is no such loss. Choose from {', '.join(LOSSES)}.")
    selected = select_preferences(rows, filters)
    left_out = selected.left_out
    pairs = [ids for pair in selected.pairs if (ids := tokenizer.pair(pair)) is not None]
    left_out["same ids"] += len(selected.pairs) - len(pairs)
    judged = [tokenizer.judged(suggestion) for suggestion in selected.judged]
    kept = sum(ids.is_desirable for ids in judged)
    has_judged = min(kept, len(judged) - kept) >= MIN_PAIRS
    if loss != KTO and len(pairs) >= MIN_PAIRS:
        return PreferenceData(DPO, *_split(pairs), +left_out)
    if loss != DPO and has_judged:
        return PreferenceData(KTO, *_split(judged), +left_out)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in (+left_out).most_common()) or "nothing"
    raise SettingsError(
        f"There is too little to learn from: {len(pairs):,} pairs of what was written and what was rejected, and "
        f"{kept:,} suggestions that were kept and {len(judged) - kept:,} that were not; {MIN_PAIRS} pairs, or "
        f"{MIN_PAIRS} of both, are needed. Left out: {reasons}. Try again when you have worked for some time."
    )


def _split(examples: Sequence[_Example]) -> tuple[list[_Example], list[_Example]]:
    """To train on, and held out: a tenth by file, or the newest tenth if all are of one file."""
    groups = {example.group for example in examples}
    held_out_groups = set(sorted(groups)[: round(HELD_OUT_SHARE * len(groups)) or 1])  # hashes have a random order
    if len(groups) == 1:
        count = max(1, round(HELD_OUT_SHARE * len(examples)))
        training, held_out = list(examples[:-count]), list(examples[-count:])
    else:
        training = [example for example in examples if example.group not in held_out_groups]
        held_out = [example for example in examples if example.group in held_out_groups]
    random.Random(0).shuffle(training)
    return training, held_out
