"""Tells the user once if suggestions are kept more rarely since an adapter was promoted with ``--watch``.

The comparison is made in the feedback store's thread, after every 25 outcomes while a promotion is watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime

from starcoder_ls.feedback_store import promotion_effect, promotions
from starcoder_ls.feedback_store.promotion_effect import State
from starcoder_ls.feedback_store.rows import FeedbackRow

ReadNewest = Callable[[int], "Future[list[FeedbackRow]]"]

_OUTCOMES_BETWEEN_CHECKS = 25
_MAX_ROWS = 20_000


class PromotionMonitor:
    """``read_newest`` is that of the feedback store; ``warn`` shows a message to the user, on the event loop."""

    def __init__(
        self,
        read_newest: ReadNewest,
        warn: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._read_newest, self._warn, self._now = read_newest, warn, now
        self._outcomes_to_next_check = 0

    def on_outcome(self) -> None:
        """A suggestion that was shown was accepted or rejected. Called on the event loop."""
        self._outcomes_to_next_check -= 1
        if self._outcomes_to_next_check > 0:
            return
        self._outcomes_to_next_check = _OUTCOMES_BETWEEN_CHECKS
        if promotions.watched():
            loop = asyncio.get_running_loop()
            self._read_newest(_MAX_ROWS).add_done_callback(lambda rows: self._compare(rows.result(), loop))

    def _compare(self, rows: list[FeedbackRow], loop: asyncio.AbstractEventLoop) -> None:
        """In the thread of the store."""
        for promotion in promotions.watched():
            effect = promotion_effect.compare(promotion, rows, self._now())
            if effect.state is State.WORSE and not loop.is_closed() and promotion.claim_report():
                loop.call_soon_threadsafe(self._warn, effect.sentence)
