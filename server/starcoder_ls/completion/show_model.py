"""Estimates the probability that a suggestion will be kept: a logistic regression on its features.

Decides whether there are enough outcomes for an estimate, and whether it predicts later outcomes better than their mean
does. The same examples always give the same model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starcoder_ls.completion.suggestion_features import Features

MIN_EXAMPLES = 300
MAX_EXAMPLES = 2_000
"""Of the newest outcomes; fitting them takes a tenth of a second in another thread."""

Example = tuple[Features, bool]
"""The features of a suggestion, and whether it was kept."""

_MIN_OF_EACH = 20  # kept and not kept
_MIN_TERM_COUNT = 10
_HELD_OUT_SHARE = 1 / 3
_STANDARD_ERRORS = 2.0  # chance passes about once in forty times
_PENALTY = 1.0  # of squared weights, for terms with a standard deviation of 1
_MAX_STEPS = 30
_CONVERGED = 1e-7
_MIN_PROBABILITY = 1e-4
_CLASSES = ("language", "source", "before", "after", "first", "last")
_LOGARITHMS = ("chars", "tokens", "column", "typed_chars")
_NUMBERS = ("lines", "position", "is_line_blank", "recent")


@dataclass(frozen=True, slots=True)
class ShowModel:
    """``weights`` by the name of a term; a term without a weight counts nothing."""

    intercept: float
    weights: Mapping[str, float]

    def probability(self, features: Features) -> float:
        """The probability that a suggestion with ``features`` will be kept."""
        weights = self.weights
        score = self.intercept + sum(weights.get(name, 0.0) * value for name, value in _terms(features).items())
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def fit_show_model(examples: Sequence[Example]) -> ShowModel | None:
    """A model of ``examples``, which are in the order in which they were shown.

    None if there are fewer than MIN_EXAMPLES, nearly all have the same outcome, or a model of the earlier ones predicts
    the later ones no better than the mean of the earlier ones does.
    """
    examples = examples[-MAX_EXAMPLES:]
    kept = sum(is_kept for _, is_kept in examples)
    if len(examples) < MIN_EXAMPLES or min(kept, len(examples) - kept) < _MIN_OF_EACH:
        return None
    first_held_out = len(examples) - round(len(examples) * _HELD_OUT_SHARE)
    earlier, later = examples[:first_held_out], examples[first_held_out:]
    return _fit(examples) if _predicts(_fit(earlier), earlier, later) else None


def calibration_error(predictions: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """Expected calibration error: the mean distance of probability and share in ``bins`` groups of equal size.

    Each prediction is a probability and whether the suggestion was kept. (Naeini et al. 2015, with equal-mass bins.)
    """
    ordered = sorted(predictions, key=lambda prediction: prediction[0])
    error = 0.0
    for index in range(bins):
        group = ordered[len(ordered) * index // bins : len(ordered) * (index + 1) // bins]
        error += abs(sum(probability - is_kept for probability, is_kept in group))
    return error / max(len(ordered), 1)


def _terms(features: Features) -> dict[str, float]:
    """What the score is a weighted sum of."""
    probability = min(max(_number(features, "confidence"), _MIN_PROBABILITY), 1 - _MIN_PROBABILITY)
    confidence = math.log(probability)
    terms = {"log confidence": confidence, "log probability": max(confidence * _number(features, "tokens"), -20.0)}
    terms["log odds"] = confidence - math.log(1 - probability)
    terms |= {f"log {name}": math.log1p(max(_number(features, name), 0.0)) for name in _LOGARITHMS}
    terms |= {name: _number(features, name) for name in _NUMBERS}
    terms["is_typed"] = float(_number(features, "typed_chars") > 0)
    terms |= {f"{name}={features[name]}": 1.0 for name in _CLASSES if name in features}
    return terms


def _number(features: Features, name: str) -> float:
    value = features.get(name, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _predicts(model: ShowModel, earlier: Sequence[Example], later: Sequence[Example]) -> bool:
    """Whether the loss of ``model`` on ``later`` is lower than that of the mean, by more than chance would explain."""
    mean = sum(is_kept for _, is_kept in earlier) / len(earlier)
    gains = [_log_loss(mean, is_kept) - _log_loss(model.probability(features), is_kept) for features, is_kept in later]
    gain = sum(gains) / len(gains)
    variance = sum((value - gain) ** 2 for value in gains) / (len(gains) - 1)
    return gain > _STANDARD_ERRORS * math.sqrt(variance / len(gains))


def _log_loss(probability: float, is_kept: bool) -> float:
    return -math.log(max(probability if is_kept else 1 - probability, _MIN_PROBABILITY))


def _fit(examples: Sequence[Example]) -> ShowModel:
    """Newton's method on the penalized likelihood; the intercept is not penalized."""
    import numpy as np  # not at the start of a server

    rows = [_terms(features) for features, _ in examples]
    counts = Counter(name for row in rows for name, value in row.items() if value)
    names = sorted(name for name, count in counts.items() if count >= _MIN_TERM_COUNT)
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    means, scales = matrix.mean(0), matrix.std(0)
    scales[scales < 1e-9] = 1.0
    inputs = np.hstack([np.ones((len(rows), 1)), (matrix - means) / scales])
    targets = np.array([float(is_kept) for _, is_kept in examples])
    penalty = np.full(inputs.shape[1], _PENALTY)
    penalty[0] = 1e-9
    weights = np.zeros(inputs.shape[1])
    for _ in range(_MAX_STEPS):
        predicted = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        gradient = inputs.T @ (predicted - targets) + penalty * weights
        curvature = (inputs.T * (predicted * (1 - predicted))) @ inputs + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < _CONVERGED:
            break
    raw = weights[1:] / scales
    # Sums in another order (another number of threads) differ in the last digits.
    by_name = {name: round(float(weight), 6) for name, weight in zip(names, raw, strict=True)}
    return ShowModel(round(float(weights[0] - raw @ means), 6), by_name)
