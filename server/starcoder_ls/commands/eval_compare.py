"""``starcoder-ls eval compare``: tests whether two runs over the same holes differ significantly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from starcoder_ls.commands.support.console import stderr
from starcoder_ls.evaluation import comparison, results
from starcoder_ls.evaluation.comparison import MeasureComparison, Verdict


def run(first: Path, second: Path, is_json: bool) -> int:
    """Print the verdict, then the table it is based on. The exit code is 0.

    Raises SettingsError if a file is not a run, or the runs have different holes.
    """
    names = _display_names(first, second)
    runs = results.read_run(first), results.read_run(second)
    pairs = comparison.pair_holes(*runs, names)
    if sentence := comparison.describe_unpaired(*runs, pairs):
        stderr.print(sentence)
    verdict, rows = comparison.compute_verdict(pairs), list(comparison.compare_measures(pairs))
    if is_json:
        print(json.dumps(_describe(verdict, rows, names)))
        return 0
    console = Console(highlight=False, markup=False)
    console.print(verdict.sentence(*names), style="bold")
    if sentence := verdict.latency_sentence(names[1]):
        console.print(sentence)
    console.print(_table(rows, names))
    return 0


def _table(rows: Sequence[MeasureComparison], names: tuple[str, str]) -> Table:
    table = Table(
        box=SIMPLE_HEAD,
        caption=(
            "Paired differences with 95 % bootstrap intervals. * marks those that exclude zero; one in twenty does "
            "by chance. The test is of the first lines of all holes only. Kept in characters, the others in per cent."
        ),
    )
    for heading in ("hole", "measure"):
        table.add_column(heading, no_wrap=True)
    for heading in ("n", *names, "difference", "95 %"):
        table.add_column(heading, justify="right", no_wrap=heading not in names, overflow="fold")
    for number, row in enumerate(rows):
        is_first_of_group = number == 0 or rows[number - 1].group != row.group
        format_value, scale = row.measure.format, 100 if row.measure.is_percent else 1
        difference = row.difference
        table.add_row(
            row.group if is_first_of_group else "",
            row.measure.name,
            str(row.count),
            format_value(row.first),
            format_value(row.second),
            f"{scale * difference.value:+.1f}{'*' if row.is_significant else ''}",
            f"{scale * difference.low:+.1f} to {scale * difference.high:+.1f}",
            end_section=number + 1 < len(rows) and rows[number + 1].group != row.group,
        )
    return table


def _describe(verdict: Verdict, rows: Sequence[MeasureComparison], names: tuple[str, str]) -> dict[str, Any]:
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


def _display_names(first: Path, second: Path) -> tuple[str, str]:
    """The names of the files, or their paths if the names are equal."""
    return (first.name, second.name) if first.name != second.name else (str(first), str(second))
