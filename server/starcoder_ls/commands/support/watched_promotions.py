"""How the adapters do that were promoted with ``--watch``, from the feedback store."""

from __future__ import annotations

from datetime import UTC, datetime

from starcoder_ls.feedback_store import promotion_effect, promotions, rows
from starcoder_ls.feedback_store.promotion_effect import Effect


def watched_effects(now: datetime | None = None) -> list[Effect]:
    """The effect of each watched promotion until ``now`` (None: the current time). Raises FeedbackStoreUnreadable."""
    found = promotions.watched()
    known = rows.read_rows() if found else []
    return [promotion_effect.compare(promotion, known, now or datetime.now(UTC)) for promotion in found]
