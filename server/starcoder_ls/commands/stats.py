"""``starcoder-ls stats``: what this user's servers have answered, from where and how fast, and what became of it.

Each server keeps one small file of numbers in the state folder, written every minute and at its end. Decides how many
are kept. Refuses to know any text of any document.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
from rich.console import Console
from rich.table import Table

from starcoder_ls import feedback_store
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.feedback_store import Counts

_INTERVAL_S = 60.0
_KEPT_FILES = 30


def folder() -> Path:
    """Where the numbers lie: `$STARCODER_LS_STATE`, or the platform's state folder."""
    override = os.environ.get("STARCODER_LS_STATE")
    return Path(override or platformdirs.user_state_dir("starcoder-ls", appauthor=False)) / "stats"


@contextlib.contextmanager
def kept(metrics: Metrics) -> Iterator[None]:
    """Write ``tally`` down now and then, and at the end. A folder that cannot be written is nobody's problem."""
    is_over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(metrics, is_over), name="stats", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join(1.0)


def run(is_json: bool) -> int:
    """0 with numbers on standard output, 1 if no server has answered anything yet."""
    servers, became = _read(folder()), feedback_store.counted()
    if not servers and not became:
        Console(stderr=True).print(f"no server has left numbers in {folder()} yet", style="dim", markup=False)
        return 1
    if is_json:
        by_language = {language: counts.summary() for language, counts in sorted(became.items())}
        total = _summed(servers) if servers else None
        print(json.dumps({"total": total, "servers": servers, "suggestions": by_language}))
        return 0
    if servers:
        Console().print(_answers(servers))
    if became:
        Console().print(_outcomes(became))
    return 0


def _answers(servers: list[dict[str, Any]]) -> Table:
    total = _summed(servers)
    table = Table(f"the last {len(servers)} servers" if len(servers) > 1 else "one server", "")
    for source, count in total["answers"].items():
        table.add_row(f"answered by {source}", f"{count:,}")
    table.add_row("answered without the model", f"{total['without_model_percent']} %")
    for name, count in total["tokens"].items():
        table.add_row(f"tokens {name.replace('_', ' ')}", f"{count:,}")
    newest = servers[-1]
    for name, label in (("ms", "newest server, all answers, ms"), ("model_ms", "newest server, by the model, ms")):
        table.add_row(label, ", ".join(f"{share} {ms:g}" for share, ms in newest[name].items()) or "none yet")
    return table


def _outcomes(became: dict[str, Counts]) -> Table:
    """Most shown first; the last row is of all, where there is more than one language."""
    table = Table("suggestions in", "shown", "accepted", "partly", "rejected", "left of them after 30 s")
    rows = sorted(became.items(), key=lambda row: -row[1].shown)
    if len(rows) > 1:
        every = Counts()
        for _, counts in rows:
            every += counts
        rows.append(("all", every))
    for language, counts in rows:
        said = counts.summary()
        share = f" ({said['accepted_percent']} %)" if said["accepted_percent"] is not None else ""
        kept = f"{said['kept_percent']} % of {said['looked_at_again']}" if counts.kept_percent else ""
        name = language or "no language"
        table.add_row(
            name, str(counts.shown), f"{counts.accepted}{share}", *map(str, (counts.partly, counts.rejected)), kept
        )
    return table


def _keep(metrics: Metrics, is_over: threading.Event) -> None:
    written, ended = 0, False
    while not ended:
        ended = is_over.wait(_INTERVAL_S)
        answered = sum(metrics.answers.values())
        if answered != written:
            with contextlib.suppress(OSError):
                _write(folder(), metrics)
            written = answered


def _write(where: Path, metrics: Metrics) -> None:
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = where / f"{int(metrics.started_s)}-{os.getpid()}.json"
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(metrics.summary(), file)
    fresh.replace(path)
    for old in sorted(where.glob("*.json"))[:-_KEPT_FILES]:
        old.unlink(missing_ok=True)


def _read(where: Path) -> list[dict[str, Any]]:
    """Oldest first; files that are no summaries are passed over."""
    found = []
    for path in sorted(where.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            summary = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(summary, dict) and {"answers", "tokens", "ms", "model_ms"} <= summary.keys():
                found.append(summary)
    return found


def _summed(servers: list[dict[str, Any]]) -> dict[str, Any]:
    answers = {name: sum(one["answers"].get(name, 0) for one in servers) for name in servers[-1]["answers"]}
    tokens = {name: sum(one["tokens"].get(name, 0) for one in servers) for name in servers[-1]["tokens"]}
    asked = sum(answers.values())
    without = answers.get("memory", 0) + answers.get("ahead", 0)
    percent = round(100 * without / asked, 1) if asked else 0.0
    return {"answers": answers, "tokens": tokens, "without_model_percent": percent}
