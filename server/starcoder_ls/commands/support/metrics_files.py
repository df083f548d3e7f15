"""The files in which servers leave their metrics for ``starcoder-ls stats``.

Each server writes one small JSON file of numbers into the state folder, every minute and at its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starcoder_ls.atomic_files import write_atomically
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.user_folders import state_folder

_WRITE_INTERVAL_S = 60.0
_MAX_FILES = 30
_REQUIRED_KEYS = {"answers", "tokens", "ms", "model_ms"}


def metrics_folder() -> Path:
    """`stats` in `$STARCODER_LS_STATE`, or in the platform's state folder."""
    return state_folder() / "stats"


@contextlib.contextmanager
def recorded(metrics: Metrics) -> Iterator[None]:
    """Write ``metrics`` at intervals and at the end. A folder that cannot be written is ignored."""
    has_ended = threading.Event()
    writer = threading.Thread(target=_write_repeatedly, args=(metrics, has_ended), name="stats", daemon=True)
    writer.start()
    try:
        yield
    finally:
        has_ended.set()
        writer.join(1.0)


def read_metrics() -> list[dict[str, Any]]:
    """The metrics of each server, oldest first. Files with other content are skipped."""
    summaries = []
    for path in sorted(metrics_folder().glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            summary = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(summary, dict) and summary.keys() >= _REQUIRED_KEYS:
                summaries.append(summary)
    return summaries


def _write_repeatedly(metrics: Metrics, has_ended: threading.Event) -> None:
    written_answers, is_last = 0, False
    while not is_last:
        is_last = has_ended.wait(_WRITE_INTERVAL_S)
        answers = sum(metrics.answers.values())
        if answers != written_answers:
            with contextlib.suppress(OSError):
                _write(metrics_folder(), metrics)
            written_answers = answers


def _write(folder: Path, metrics: Metrics) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{int(metrics.started_s)}-{os.getpid()}.json"
    write_atomically(path, json.dumps(metrics.summary()).encode(), mode=0o600)
    for old in sorted(folder.glob("*.json"))[:-_MAX_FILES]:
        old.unlink(missing_ok=True)
