"""A simulated user of known taste: errors are AppErrors, where the model suggests those of the language.

Each function below is a place where a suggestion was rejected; the feedback store then has what the user wrote.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion

NOUNS = (
    "order",
    "invoice",
    "parcel",
    "ticket",
    "seat",
    "route",
    "lamp",
    "engine",
    "wheel",
    "garden",
    "letter",
    "stamp",
)
VERBS = ("load", "save", "check", "send", "find", "close", "open", "count", "print", "merge")
TASTE = "AppError"
REJECTED = "ValueError"


def cursors(count: int, seed: int = 1) -> Iterator[tuple[str, str, str]]:
    """Texts before and after ``count`` different cursors, and the name that the user would pass."""
    rng = random.Random(seed)
    places = [(verb, noun) for verb in VERBS for noun in NOUNS]
    for verb, noun in rng.sample(places, count):
        before = f"def {verb}_{noun}({noun}, limit):\n    if {noun} is None or {noun}.size > limit:\n        raise "
        yield before, f"\n    return {noun}.{verb}(limit)\n", noun


def written(name: str) -> str:
    return f"{TASTE}({name})"


def record_feedback(folder: Path, count: int = 80, files: int = 10, kept: int = 0) -> None:
    """``count`` rejected suggestions in the store of this process's state folder; of ``files`` files in ``folder``.

    The first ``kept`` of them were accepted afterwards as the user wants them.
    """
    store = FeedbackStore()
    for number, (before, after, name) in enumerate(cursors(count)):
        path = str(folder / f"module_{number % files}.py")
        own = f"{written(name)}\n"
        _record(store, f"r{number}", (before, after, f"{REJECTED}({name})"), path, "rejected", 0, own)
        if number < kept:
            _record(store, f"a{number}", (before, after, written(name)), path, "accepted", 100, own)
    store.close()


def _record(
    store: FeedbackStore, key: str, texts: tuple[str, str, str], path: str, outcome: str, percent: int, later: str
) -> None:
    assert outcome in ("accepted", "rejected")
    store.record_shown(ShownSuggestion(key, "python", "bundled", None, "model", len(texts[2]), 1, texts, path=path))
    store.record_outcome(key, "accepted" if outcome == "accepted" else "rejected")
    store.record_match_percent(key, percent)
    if outcome == "accepted":
        store.record_kept_percent(key, percent)
    for seconds in (10, 30):
        store.record_text(key, seconds, later)
