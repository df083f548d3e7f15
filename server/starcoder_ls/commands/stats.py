"""``starcoder-ls stats``: how this user's servers have answered, and what became of their suggestions.

It prints numbers only, from the metrics files of servers and from the feedback store.
"""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from starcoder_ls.commands.support.metrics_files import metrics_folder, read_metrics
from starcoder_ls.commands.support.watched_promotions import watched_effects
from starcoder_ls.feedback_store import rows
from starcoder_ls.feedback_store.rows import OutcomeCounts


def run(is_json: bool) -> int:
    """Print the statistics. The exit code is 1 if no server has answered anything yet.

    Raises FeedbackStoreUnreadable.
    """
    servers, outcomes = read_metrics(), rows.count_outcomes()
    if not servers and not outcomes:
        Console(stderr=True).print(
            f"no server has written metrics to {metrics_folder()} yet", style="dim", markup=False
        )
        return 1
    if is_json:
        by_language = {language: counts.summary() for language, counts in sorted(outcomes.items())}
        total = _sum_metrics(servers) if servers else None
        print(json.dumps({"total": total, "servers": servers, "suggestions": by_language}))
        return 0
    if servers:
        Console().print(_metrics_table(servers))
    if outcomes:
        Console().print(_outcome_table(outcomes))
    for effect in watched_effects():
        Console(highlight=False, markup=False).print(effect.sentence)
    return 0


def _metrics_table(servers: list[dict[str, Any]]) -> Table:
    total = _sum_metrics(servers)
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


def _outcome_table(outcomes: dict[str, OutcomeCounts]) -> Table:
    """One row per language, by number of suggestions, then a row of sums if there are several."""
    by_number = sorted(outcomes.items(), key=lambda row: -row[1].shown)
    total = OutcomeCounts()
    for _, counts in by_number:
        total += counts
    if len(by_number) > 1:
        by_number.append(("all", total))
    headings = ["suggestions in", "shown", "accepted", "partly", "rejected", "closed", "text left after 30 s"]
    headings += ["hidden (would have been kept)"] if total.hidden else []
    table = Table(*headings)
    for language, counts in by_number:
        summary = counts.summary()
        share = f" ({summary['accepted_percent']} %)" if summary["accepted_percent"] is not None else ""
        kept = f"{summary['kept_percent']} % of {summary['looked_at_again']}" if counts.kept_percents else ""
        cells = [
            language or "no language", str(counts.shown), f"{counts.accepted}{share}", str(counts.partly),
            str(counts.rejected), str(counts.closed), kept, f"{counts.hidden} ({counts.hidden_kept})",
        ]  # fmt: skip
        table.add_row(*cells[: len(headings)])
    return table


def _sum_metrics(servers: list[dict[str, Any]]) -> dict[str, Any]:
    answers = {name: sum(server["answers"].get(name, 0) for server in servers) for name in servers[-1]["answers"]}
    tokens = {name: sum(server["tokens"].get(name, 0) for server in servers) for name in servers[-1]["tokens"]}
    total = sum(answers.values())
    without_model = answers.get("memory", 0) + answers.get("ahead", 0)
    percent = round(100 * without_model / total, 1) if total else 0.0
    return {"answers": answers, "tokens": tokens, "without_model_percent": percent}
