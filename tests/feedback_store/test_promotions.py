from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from starcoder_ls.feedback_store import promotions
from starcoder_ls.feedback_store.promotions import Promotion

AT = datetime(2026, 11, 28, 21, tzinfo=UTC)


def test_history_is_read_as_it_was_written_without_damaged_lines(tmp_path: Path) -> None:
    entries = [
        Promotion(tmp_path, AT, "1", watch_days=7),
        Promotion(tmp_path, AT, "2", is_merged=True),
        Promotion(tmp_path, AT, "1", is_rollback=True),
    ]
    for entry in entries:
        entry.append()
    file = tmp_path / promotions.HISTORY_FILE
    file.write_text(file.read_text() + '{"at": "2026', encoding="utf-8")
    assert promotions.read_history(tmp_path) == entries
    assert promotions.served(entries) == entries[:1]
    assert promotions.read_history(tmp_path / "none") == []


def test_history_of_the_first_format_is_still_read(tmp_path: Path) -> None:
    line = '{"at": "2026-11-28T21:00:00+00:00", "version": "1", "is_rollback": false}\n'
    (tmp_path / promotions.HISTORY_FILE).write_text(line)
    assert promotions.read_history(tmp_path) == [Promotion(tmp_path, AT, "1")]


def test_only_the_latest_promotion_is_watched_until_it_is_rolled_back(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    assert promotions.watched(tmp_path) == []
    watched = Promotion(folder, AT, "1", watch_days=7)
    watched.append()
    assert promotions.watched(tmp_path) == [watched]
    assert watched.watch_ends == AT + timedelta(days=7)
    Promotion(folder, AT, None, is_rollback=True).append()
    assert promotions.watched(tmp_path) == []


def test_report_is_claimed_once_for_each_promotion(tmp_path: Path) -> None:
    first, second = Promotion(tmp_path, AT, "1"), Promotion(tmp_path, AT + timedelta(hours=1), "1")
    assert [first.claim_report(), first.claim_report(), second.claim_report()] == [True, False, True]
    assert not Promotion(tmp_path / "gone", AT, "1").claim_report()
