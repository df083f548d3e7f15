"""Pairs and judged suggestions of random token ids."""

from __future__ import annotations

import random
from collections import Counter

from starcoder_ls.learning.preference_data import DPO, KTO, PreferenceData
from starcoder_ls.learning.preference_ids import Ids, JudgedIds, PairIds


def random_data(loss: str, count: int = 8, held_out: int = 4) -> PreferenceData:
    """Prompts and completions of different lengths, none of which has the id 0."""
    rng = random.Random(loss)

    def ids(low: int, high: int) -> Ids:
        return tuple(rng.randrange(30, 600) for _ in range(rng.randint(low, high)))

    examples: list[PairIds | JudgedIds] = []
    for number in range(count + held_out):
        prompt, first, second = ids(8, 16), ids(2, 6), ids(2, 6)
        if loss == DPO:
            examples.append(PairIds(prompt, first, second, str(number)))
        else:
            assert loss == KTO
            examples.append(JudgedIds(prompt, first, number % 2 == 0, str(number)))
    return PreferenceData(loss, examples[:count], examples[count:], Counter())
