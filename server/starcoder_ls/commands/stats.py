"""``starcoder-ls stats``: what this user's servers have answered, from where and how fast.

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

from starcoder_ls.completion.tally import Tally

_INTERVAL_S = 60.0
_KEPT_FILES = 30


def folder() -> Path:
    """Where the numbers lie: `$STARCODER_LS_STATE`, or the platform's state folder."""
    override = os.environ.get("STARCODER_LS_STATE")
    return Path(override or platformdirs.user_state_dir("starcoder-ls", appauthor=False)) / "stats"


@contextlib.contextmanager
def kept(tally: Tally) -> Iterator[None]:
    """Write ``tally`` down now and then, and at the end. A folder that cannot be written is nobody's problem."""
    is_over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(tally, is_over), name="stats", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join(1.0)


def run(is_json: bool) -> int:
    """0 with numbers on standard output, 1 if no server has answered anything yet."""
    servers = _read(folder())
    if not servers:
        Console(stderr=True).print(f"no server has left numbers in {folder()} yet", style="dim", markup=False)
        return 1
    total = _summed(servers)
    if is_json:
        print(json.dumps({"total": total, "servers": servers}))
        return 0
    table = Table(f"the last {len(servers)} servers", "")
    for source, count in total["answers"].items():
        table.add_row(f"answered by {source}", f"{count:,}")
    table.add_row("answered without the model", f"{total['without_model_percent']} %")
    for name, count in total["tokens"].items():
        table.add_row(f"tokens {name.replace('_', ' ')}", f"{count:,}")
    newest = servers[-1]
    for name, label in (("ms", "newest server, all answers, ms"), ("model_ms", "newest server, by the model, ms")):
        table.add_row(label, ", ".join(f"{share} {ms:g}" for share, ms in newest[name].items()) or "none yet")
    Console().print(table)
    return 0


def _keep(tally: Tally, is_over: threading.Event) -> None:
    written, ended = 0, False
    while not ended:
        ended = is_over.wait(_INTERVAL_S)
        answered = sum(tally.answers.values())
        if answered != written:
            with contextlib.suppress(OSError):
                _write(folder(), tally)
            written = answered


def _write(where: Path, tally: Tally) -> None:
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = where / f"{int(tally.since_s)}-{os.getpid()}.json"
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(tally.summary(), file)
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
