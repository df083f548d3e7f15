"""Simulated users and what they write, to measure when a suggestion should be shown. Seeded, without a model.

A user wants to write a text; the suggestion is that text, or departs from it after some characters. Whether it is right
depends on the language, on what is right of the cursor and on phases of routine code, which last for a while; the
model's confidence is a noisy sign of it. What is shown and right is accepted unless the user overlooks it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from starcoder_ls.completion.show_model import Example, ShowModel, fit_show_model
from starcoder_ls.completion.suggestion_features import Features

LANGUAGES = {"python": 0.3, "typescript": -0.2, "markdown": -1.8}
AFTER = {"none": 0.4, "closer": 0.2, "word": -1.6, "operator": -1.0}
BEFORE = {"word": 0.0, "opener": 0.3, "blank": -0.3, "separator": 0.0}
NOTICE_SHARE = 0.85
WRONG_ACCEPT_SHARE = 0.03
FITS_EVERY = 100
_RECENT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Occasion:
    """A suggestion that could be shown. ``common_chars`` of it are what the user wants to write, all if it is right."""

    features: Features
    is_right: bool
    chars: int
    common_chars: int
    typed_chars: int
    """When it appears first."""
    is_noticed: bool
    is_mistaken: bool
    """The user accepts it although it is wrong, and deletes it."""

    def features_at(self, typed_chars: int, recent: float) -> Features:
        """After ``typed_chars`` of it have been typed."""
        column = float(self.features["column"]) + typed_chars
        changed = {"chars": self.chars - typed_chars, "typed_chars": typed_chars, "column": column, "recent": recent}
        return {**self.features, **changed, "is_line_blank": float(not column)}


@dataclass(slots=True)
class Usage:
    """What happened to suggestions."""

    shown: int = 0
    accepted: int = 0
    accepted_chars: int = 0
    predictions: list[tuple[float, bool]] = field(default_factory=list)
    """After the first fit: the probability when a suggestion first could be shown, and whether it would be kept."""


def sample_occasions(count: int, seed: int) -> list[Occasion]:
    """``count`` occasions of one user."""
    rng = random.Random(seed)
    taste = rng.gauss(-0.6, 0.4)
    language, is_routine, occasions = "python", False, []
    for _ in range(count):
        if rng.random() < 0.03:
            is_routine = not is_routine
        if rng.random() < 0.02:
            language = rng.choice(list(LANGUAGES))
        occasions.append(_sample_occasion(rng, taste, language, is_routine))
    return occasions


def use(
    occasions: Sequence[Occasion],
    show_from: float,
    score: Callable[[Features], float] | None = None,
) -> Usage:
    """Show each occasion to its user once its probability reaches ``show_from``, while it agrees with what is typed.

    The probability is that of ``score``, else of a model that is fitted to the outcomes so far, hidden ones included,
    as the server does.
    """
    usage, examples, recent = Usage(), list[Example](), 0.3
    model: ShowModel | None = None
    for number, occasion in enumerate(occasions):
        if score is None and number % FITS_EVERY == 0:
            model = fit_show_model(examples)
        estimate = score or (model.probability if model else None)
        recent_share = round(recent, 3)
        shown_at = _first_shown(occasion, estimate, show_from, recent_share)
        is_kept = occasion.is_right and occasion.is_noticed
        if shown_at != occasion.typed_chars:  # it was hidden at first; what the user writes shows whether it was right
            examples.append((occasion.features_at(occasion.typed_chars, recent_share), occasion.is_right))
        if shown_at is not None:
            examples.append((occasion.features_at(shown_at, recent_share), is_kept))
        if estimate is not None:
            first = occasion.features_at(occasion.typed_chars, recent_share)
            usage.predictions.append((estimate(first), is_kept))
        if shown_at is None:
            continue
        usage.shown += 1
        usage.accepted += is_kept
        usage.accepted_chars += (occasion.chars - shown_at) * is_kept
        recent += _RECENT_SHARE * ((is_kept or occasion.is_mistaken) - recent)
    return usage


def _first_shown(
    occasion: Occasion, estimate: Callable[[Features], float] | None, show_from: float, recent: float
) -> int | None:
    """After how many typed characters the suggestion is shown; None if it never is."""
    for typed_chars in range(occasion.typed_chars, min(occasion.common_chars, occasion.chars - 1) + 1):
        if estimate is None or estimate(occasion.features_at(typed_chars, round(recent, 3))) >= show_from:
            return typed_chars
    return None


def _sample_occasion(rng: random.Random, taste: float, language: str, is_routine: bool) -> Occasion:
    before, after = rng.choice(list(BEFORE)), rng.choice(list(AFTER))
    chars, column = 1 + int(rng.lognormvariate(3.0, 0.6)), rng.choice((0, 4, 8, rng.randint(0, 60)))
    quality = taste + LANGUAGES[language] + AFTER[after] + BEFORE[before] - 0.3 * (math.log(chars) - 3)
    quality += (1.2 if is_routine else -0.6) + rng.gauss(0, 1.2)
    is_right = rng.random() < 1 / (1 + math.exp(-quality))
    noise = rng.gauss(0, 2.0 if language == "markdown" else 0.8)
    confidence = 1 / (1 + math.exp(-(0.8 + 0.7 * quality + noise)))
    common_chars = chars if is_right else min(int(rng.expovariate(0.35)), chars - 1)
    typed_chars = min(int(rng.expovariate(0.5)), common_chars, chars - 1) if rng.random() < 0.4 else 0
    features: Features = {
        "confidence": round(confidence, 4), "chars": chars, "lines": 1 + chars // 45, "tokens": max(1, chars // 4),
        "typed_chars": typed_chars, "column": column, "is_line_blank": float(not column),
        "position": round(rng.random(), 3), "language": language, "source": rng.choice(("model", "ahead", "memory")),
        "before": before, "after": after, "first": "word", "last": rng.choice(("word", "closer")), "is_invoked": 0.0,
    }  # fmt: skip
    is_noticed, is_mistaken = rng.random() < NOTICE_SHARE, not is_right and rng.random() < WRONG_ACCEPT_SHARE
    return Occasion(features, is_right, chars, common_chars, typed_chars, is_noticed, is_mistaken)
