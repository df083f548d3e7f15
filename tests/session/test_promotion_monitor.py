from __future__ import annotations

import asyncio
import random
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feedback_rows import days_of_rows
from harness import async_test
from starcoder_ls.feedback_store.promotions import Promotion
from starcoder_ls.feedback_store.rows import FeedbackRow
from starcoder_ls.session.promotion_monitor import PromotionMonitor

AT = datetime(2026, 11, 15, tzinfo=UTC)


class Journal:
    """``reads`` counts how often it was read."""

    def __init__(self, after: float) -> None:
        rng = random.Random(0)
        before = days_of_rows(rng, AT - timedelta(days=7), 7, 0.3)
        self.rows = [*before, *days_of_rows(rng, AT, 7, after, adapter="own")]
        self.reads = 0

    def read_newest(self, _count: int) -> Future[list[FeedbackRow]]:
        self.reads += 1
        rows: Future[list[FeedbackRow]] = Future()
        rows.set_result(self.rows)
        return rows


def promote(state: Path, watch_days: float) -> None:
    folder = state / "adapters" / "own"
    folder.mkdir(parents=True, exist_ok=True)
    Promotion(folder, AT, "1", watch_days=watch_days).append()


async def messages_after(monitor: PromotionMonitor, messages: list[str], outcomes: int) -> list[str]:
    for _ in range(outcomes):
        monitor.on_outcome()
    await asyncio.sleep(0)
    return messages


@async_test
async def test_message_is_shown_once_when_acceptance_falls(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STARCODER_LS_STATE", str(tmp_path))
        promote(tmp_path, watch_days=7)
        now, journal, messages = [AT], Journal(after=0.15), list[str]()
        monitor = PromotionMonitor(journal.read_newest, messages.append, lambda: now[0])
        journal.rows, later = journal.rows[:500], journal.rows
        assert await messages_after(monitor, messages, 1) == [], "80 outcomes"
        journal.rows, now[0] = later, AT + timedelta(days=7)
        assert await messages_after(monitor, messages, 24) == []
        (message,) = await messages_after(monitor, messages, 1)
        assert "`starcoder-ls train rollback own`" in message
        other_window = PromotionMonitor(journal.read_newest, messages.append, lambda: now[0])
        assert await messages_after(other_window, messages, 1) == [message]


@async_test
async def test_nothing_is_read_unless_a_promotion_is_watched(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STARCODER_LS_STATE", str(tmp_path))
        promote(tmp_path, watch_days=0)
        journal, messages = Journal(after=0.0), list[str]()
        monitor = PromotionMonitor(journal.read_newest, messages.append)
        assert await messages_after(monitor, messages, 60) == []
        assert journal.reads == 0
