from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from starcoder_ls.engine.generation.sampling import Sampler
from starcoder_ls.engine.logits import select_greedy
from starcoder_ls.generation import Sampling


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float32).log()


def test_ties_go_to_the_lowest_id() -> None:
    rows = torch.zeros(2, 50_000)
    rows[1, [7, 49_000]] = 1.0
    assert [drawn.id for drawn in select_greedy(rows)] == [0, 7]


def test_ties_after_bfloat16_rounding_go_to_the_lowest_id() -> None:
    row = torch.tensor([[1.0, 256.0, 256.5]], dtype=torch.bfloat16)  # the last two round to the same value
    assert select_greedy(row.float())[0].id == 1


def test_logprob_is_of_the_unscaled_distribution() -> None:
    row = logits(0.25, 0.5, 0.25)
    assert select_greedy(row[None])[0].logprob == pytest.approx(math.log(0.5))
    drawn = Sampler(Sampling(temperature=3.0, top_p=0.9), 1).sample(row)
    assert drawn.logprob == pytest.approx(math.log([0.25, 0.5, 0.25][drawn.id]))


def test_samples_follow_the_distribution() -> None:
    sampler = Sampler(Sampling(temperature=1.0, seed=3), 1)
    counts = Counter(sampler.sample(logits(0.5, 0.3, 0.2)).id for _ in range(4000))
    for id_, probability in enumerate((0.5, 0.3, 0.2)):
        assert counts[id_] / 4000 == pytest.approx(probability, abs=0.03)  # 3.8 standard deviations


def test_low_temperature_sharpens_the_distribution() -> None:
    sampler = Sampler(Sampling(temperature=0.5, seed=3), 1)
    counts = Counter(sampler.sample(logits(0.8, 0.2)).id for _ in range(4000))
    assert counts[0] / 4000 == pytest.approx(0.64 / 0.68, abs=0.02)


@pytest.mark.parametrize(("top_p", "inside"), [(0.5, {1}), (0.6, {1, 2}), (0.81, {0, 1, 2}), (1e-9, {1})])
def test_nucleus_has_the_fewest_most_likely_tokens(top_p: float, inside: set[int]) -> None:
    sampler = Sampler(Sampling(temperature=1.0, top_p=top_p), 1)
    assert {sampler.sample(logits(0.2, 0.5, 0.3)).id for _ in range(300)} == inside


def test_same_seed_gives_the_same_samples_and_streams_differ() -> None:
    row = torch.zeros(1000)

    def draws(seed: int, stream: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed), stream)
        return [sampler.sample(row).id for _ in range(8)]

    assert draws(1, 1) == draws(1, 1)
    assert len({tuple(draws(seed, stream)) for seed in (-1, 0, 1) for stream in (0, 1, 2)}) == 9


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_banned_token_is_not_sampled(temperature: float) -> None:
    sampler = Sampler(Sampling(temperature=temperature), 1)
    assert {sampler.sample(logits(0.9, 0.05, 0.05), banned={0, 2}).id for _ in range(50)} == {1}
