"""The tables that ``eval holes`` prints: quality of the suggestions, and time to the answer."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from starcoder_ls.evaluation.results import Run
from starcoder_ls.evaluation.summary import MEASURES, Group, group_by_kind, group_by_language


def print_tables(result: Run) -> None:
    """Print a table of the quality of the suggestions and one of their latency."""
    console = Console(highlight=False)
    title = f"{result.model} on {result.device}, {len(result.holes)} holes, seed {result.seed}"
    quality = Table(
        title=title,
        caption="with 95 % intervals; kept in characters, the others in per cent",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    latency = Table(title="time to the answer, ms", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    quality.add_column("hole", no_wrap=True, min_width=12)
    latency.add_column("hole", no_wrap=True)
    quality.add_column("n", justify="right")
    for measure in MEASURES:
        quality.add_column(measure.name, justify="right")
    kinds = group_by_kind(result.holes)
    for quantile in kinds[0].latencies():
        latency.add_column(f"p{100 * quantile:g}", justify="right")
    for group in (*kinds, *group_by_language(result.holes)):
        _add_row(quality, latency, group)
    console.print(quality)
    console.print(latency)


def _add_row(quality: Table, latency: Table, group: Group) -> None:
    cells = []
    for measure in MEASURES:
        mean = measure.estimate(group.holes)
        low, high = measure.format_rounded(mean.low), measure.format_rounded(mean.high)
        cells.append(f"{measure.format(mean.value)}\n[dim]{low}–{high}[/dim]")
    style = "bold" if not group.kind else None
    name = f"  {group.name}" if group.is_subgroup else group.name
    quality.add_row(name, str(len(group.holes)), *cells, style=style)
    latency.add_row(name, *(f"{estimate.value:.0f}" for estimate in group.latencies().values()), style=style)
