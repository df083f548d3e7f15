from __future__ import annotations

import random

import pytest

from starcoder_ls.completion import show_model
from starcoder_ls.completion.show_model import Example, ShowModel, calibration_error, fit_show_model


def examples(count: int, is_informative: bool = True, seed: int = 1, share: float = 0.3) -> list[Example]:
    """The probability that a suggestion is kept is its confidence, or ``share`` whatever its confidence is."""
    rng = random.Random(seed)
    sampled: list[Example] = []
    for _ in range(count):
        confidence = rng.betavariate(1, 2)
        is_kept = rng.random() < (confidence if is_informative else share)
        features = {"confidence": confidence, "chars": rng.randint(1, 60), "tokens": 5, "language": "python"}
        sampled.append((features, is_kept))
    return sampled


def test_model_is_calibrated_on_later_outcomes() -> None:
    model = fit_show_model(examples(2_000))
    assert model is not None
    predictions = [(model.probability(features), is_kept) for features, is_kept in examples(4_000, seed=2)]
    assert calibration_error(predictions) < 0.04
    low, high = ({"confidence": value, "chars": 20, "tokens": 5, "language": "python"} for value in (0.1, 0.9))
    assert model.probability(low) < 0.2 < 0.6 < model.probability(high)


def test_same_examples_give_the_same_model() -> None:
    assert fit_show_model(examples(400)) == fit_show_model(examples(400)) is not None


@pytest.mark.parametrize(
    "sampled",
    [examples(299), examples(800, is_informative=False, seed=2), examples(800, is_informative=False, share=0.01)],
    ids=["too few", "features that say nothing", "nearly all rejected"],
)
def test_there_is_no_model_without_evidence(sampled: list[Example]) -> None:
    assert fit_show_model(sampled) is None


def test_300_outcomes_are_enough() -> None:
    assert fit_show_model(examples(300, seed=2)) is not None


def test_only_the_newest_outcomes_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_model, "MAX_EXAMPLES", 400)
    older = [(features, not is_kept) for features, is_kept in examples(400, seed=3)]
    assert fit_show_model(older + examples(400)) == fit_show_model(examples(400))


def test_classes_and_missing_features_are_read() -> None:
    model = ShowModel(0.0, {"after=closer": 2.0, "recent": 1.0})
    assert model.probability({}) == 0.5
    assert model.probability({"after": "closer", "recent": "unreadable"}) == pytest.approx(0.8808, abs=1e-4)
    assert ShowModel(1e9, {}).probability({}) <= 1.0


def test_calibration_error_is_the_mean_distance_from_the_outcomes() -> None:
    assert calibration_error([(0.5, True), (0.5, False)] * 50) == pytest.approx(0.0)
    assert calibration_error([(0.9, False)] * 100) == pytest.approx(0.9)
    assert calibration_error([]) == 0.0
