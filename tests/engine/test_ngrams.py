import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.engine.ngrams import MAX_MATCH, Index, Observation, Strengths, fitted, observed


def counted(ids: list[int]) -> list[tuple[int, dict[int, int]]]:
    """The levels by the definition: count every n-gram."""
    found = []
    for length in range(1, MAX_MATCH + 1):
        tail = ids[-length:]
        followers = Counter(
            ids[i + length] for i in range(len(ids) - length) if len(tail) == length and ids[i : i + length] == tail
        )
        if not followers:
            break
        found.append((length, dict(followers)))
    return found


@given(st.lists(st.integers(0, 3), max_size=60))
def test_levels_are_the_counted_ngrams(ids: list[int]) -> None:
    assert [(length, dict(followers)) for length, followers in Index(ids).levels()] == counted(ids)


@given(st.lists(st.integers(0, 3), max_size=30), st.lists(st.integers(0, 3), max_size=10))
def test_fork_grows_alone(ids: list[int], more: list[int]) -> None:
    index = Index(ids)
    fork = index.forked()
    fork.extend(more)
    assert list(fork.levels()) == list(Index(ids + more).levels())
    assert list(index.levels()) == list(Index(ids).levels())


def test_mixture_is_a_distribution_that_leans_to_what_followed_before() -> None:
    index = Index([1, 2, 3, 9, 1, 2])
    logits = torch.zeros(12)
    mixed = Strengths({"1/1/one": 0.5, "2/1/one": 0.5}).mixed(logits, index).exp()
    assert float(mixed.sum()) == pytest.approx(1.0)
    assert float(mixed[3]) == pytest.approx(0.75 + 0.25 / 12)
    assert float(mixed[4]) == pytest.approx(0.25 / 12)


def test_nothing_changes_where_nothing_was_fitted_or_nothing_matches() -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(0))
    for strengths, index in ((Strengths({}), Index([1, 2, 1])), (Strengths({"1/1/one": 0.9}), Index([1, 2, 3]))):
        assert torch.allclose(strengths.mixed(logits, index), logits.log_softmax(-1), atol=1e-6)


def test_fit_finds_the_share_that_drew_the_data() -> None:
    rng = random.Random(0)
    drawn = [Observation(0.02, (("1/1/one", 1.0 if rng.random() < 0.7 else 0.0),)) for _ in range(4000)]
    assert fitted(drawn).by_evidence["1/1/one"] == pytest.approx(0.7, abs=0.03)


def test_observation_is_what_the_mixture_uses() -> None:
    index, logits = Index([5, 6, 5]), torch.zeros(10)
    assert observed(logits, index, 6) == Observation(pytest.approx(0.1), (("1/1/one", 1.0),))
    assert observed(logits, index, 7).levels == (("1/1/one", 0.0),)


def test_strengths_come_back_from_a_checkpoint_folder(tmp_path: Path) -> None:
    assert Strengths.of(tmp_path) is None
    Strengths({"1/1/one": 0.25}).save(tmp_path)
    assert Strengths.of(tmp_path) == Strengths({"1/1/one": 0.25})
