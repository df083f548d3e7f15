"""Synthetic rows of a feedback store: a user who keeps a share of the suggestions, file by file and day by day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from starcoder_ls.feedback_store.rows import FeedbackRow

_ROW = FeedbackRow("", 0.0, "rejected", "python", "bundled", None, "model", 10, 1, 0, None, None, None, None)


def days_of_rows(
    rng: random.Random,
    first: datetime,
    days: int,
    share: float,
    *,
    per_day: int = 60,
    spread: float = 0.0,
    adapter: str | None = None,
    language: str = "python",
) -> Iterator[FeedbackRow]:
    """``per_day`` suggestions in three files a day, of which ``share`` is kept; in each file and day ``spread`` more or
    less."""
    for day in range(days):
        for file in range(3):
            own_share = share + rng.choice((-spread, spread))
            for number in range(per_day // 3):
                at = first + timedelta(days=day, hours=9, minutes=20 * file, seconds=number)
                outcome = "accepted" if rng.random() < own_share else "rejected"
                yield replace(
                    _ROW, id=f"{at.timestamp()}/{language}", shown_at=at.timestamp(), outcome=outcome, adapter=adapter,
                    language=language, path_hash=f"{day}/{file}", accepted_chars=10 if outcome == "accepted" else 0,
                )  # fmt: skip
