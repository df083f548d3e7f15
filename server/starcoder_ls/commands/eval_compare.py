"""``starcoder-ls eval compare``: two runs over the same holes, and whether they differ by more than chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from starcoder_ls.evaluation import comparison, results
from starcoder_ls.evaluation.comparison import MeasureComparison, Verdict


def run(first: Path, second: Path, is_json: bool) -> int:
    """The sentence first on standard output, then the table behind it."""
    names = _names(first, second)
    pairs = comparison.pair_holes(results.read_run(first), results.read_run(second), names)
    verdict, rows = comparison.compute_verdict(pairs), list(comparison.compare_measures(pairs))
    if is_json:
        print(json.dumps(_tree(verdict, rows, names)))
        return 0
    console = Console(highlight=False, markup=False)
    console.print(verdict.sentence(*names), style="bold")
    if said := verdict.latency_sentence(names[1]):
        console.print(said)
    console.print(_table(rows, names))
    return 0


def _table(rows: Sequence[MeasureComparison], names: tuple[str, str]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        caption=(
            "Differences are paired, with 95 % bootstrap intervals; * leaves out zero. One question is tested, first "
            "lines over all holes: of many intervals one in twenty leaves out zero by chance. Kept: characters, "
            "the others per cent."
        ),
    )
    for heading in ("hole", "measure"):
        table.add_column(heading, no_wrap=True)
    for heading in ("n", *names, "difference", "95 %"):
        table.add_column(heading, justify="right", no_wrap=heading not in names, overflow="fold")
    for number, row in enumerate(rows):
        is_new = number == 0 or rows[number - 1].group != row.group
        shown, scale = row.measure.format, 100 if row.measure.is_percent else 1
        moved = row.difference
        table.add_row(
            row.group if is_new else "",
            row.measure.name,
            str(row.count),
            shown(row.first),
            shown(row.second),
            f"{scale * moved.value:+.1f}{'*' if row.is_significant else ''}",
            f"{scale * moved.low:+.1f} to {scale * moved.high:+.1f}",
            end_section=number + 1 < len(rows) and rows[number + 1].group != row.group,
        )
    return table


def _tree(verdict: Verdict, rows: Sequence[MeasureComparison], names: tuple[str, str]) -> dict[str, Any]:
    return {
        "sentence": verdict.sentence(*names),
        "is_certain": verdict.is_significant,
        "p": verdict.p,
        "better": verdict.better,
        "worse": verdict.worse,
        "ratio": verdict.ratio and [verdict.ratio.value, verdict.ratio.low, verdict.ratio.high],
        "latency_ratio": verdict.latency_ratio
        and [verdict.latency_ratio.value, verdict.latency_ratio.low, verdict.latency_ratio.high],
        "rows": [
            {
                "hole": row.group,
                "measure": row.measure.name,
                "holes": row.count,
                "first": row.first,
                "second": row.second,
                "difference": [row.difference.value, row.difference.low, row.difference.high],
            }
            for row in rows
        ],
    }


def _names(first: Path, second: Path) -> tuple[str, str]:
    """The files' names; the whole paths where those are the same."""
    return (first.name, second.name) if first.name != second.name else (str(first), str(second))
