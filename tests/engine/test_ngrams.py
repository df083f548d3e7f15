import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.engine.ngrams import FILE, MAX_MATCH, Index, Observation, SecondOpinion, Strengths, fitted, observed
from starcoder_ls.errors import ModelInvalid


def counted(document: list[int], generated: list[int]) -> list[tuple[int, dict[int, int]]]:
    """The levels by the definition: count every n-gram of the document."""
    found = []
    for length in range(1, MAX_MATCH + 1):
        tail = (document + generated)[-length:]
        followers = Counter(
            document[i + length]
            for i in range(len(document) - length)
            if len(tail) == length and document[i : i + length] == tail
        )
        if not followers:
            break
        found.append((length, dict(followers)))
    return found


@given(st.lists(st.integers(0, 3), max_size=60), st.lists(st.integers(0, 3), max_size=10))
def test_levels_are_the_counted_ngrams_of_the_document(document: list[int], generated: list[int]) -> None:
    index = Index(document)
    index.extend(generated)
    assert [(length, dict(followers)) for length, followers in index.levels()] == counted(document, generated)


@given(st.lists(st.integers(0, 3), max_size=30), st.lists(st.integers(0, 3), max_size=10))
def test_fork_grows_alone(document: list[int], more: list[int]) -> None:
    index = Index(document)
    fork = index.forked()
    fork.extend(more)
    assert [(length, dict(followers)) for length, followers in fork.levels()] == counted(document, more)
    assert [(length, dict(followers)) for length, followers in index.levels()] == counted(document, [])


def test_loop_of_the_model_is_no_evidence() -> None:
    index = Index([1, 2, 3])
    index.extend([7, 8, 7, 8, 7, 8])
    assert list(index.levels()) == []


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


def test_candidates_of_a_request_have_documents_of_their_own() -> None:
    opinion = SecondOpinion(Strengths({"1/1/one": 0.9}), [1, 2, 3], 2)
    opinion.extend([0, 1], [1, 2])
    mixed = opinion.mixed(torch.zeros(2, 8), [0, 1])
    assert mixed.argmax(-1).tolist() == [2, 3]
    opinion.extend([1], [1])
    assert opinion.mixed(torch.zeros(1, 8), [1]).argmax(-1).tolist() == [2]


def test_without_strengths_the_logits_stay_as_they_are() -> None:
    logits = torch.randn(2, 8)
    assert SecondOpinion(None, [1, 2, 3], 2).mixed(logits, [0, 1]) is logits


@pytest.mark.parametrize("text", ["", "[1]", '{"1/1/one": "x"}', '{"1/1/one": 1.5}', '{"1/1/one": NaN}'])
def test_spoilt_strengths_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ModelInvalid, match=FILE):
        Strengths.of(tmp_path)
