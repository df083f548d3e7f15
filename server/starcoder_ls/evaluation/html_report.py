"""Renders a run as one self-contained HTML page: no script, no font, no request.

Decides what the page shows and in which order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from starcoder_ls.evaluation import score, svg_plots
from starcoder_ls.evaluation.results import Run, ScoredHole
from starcoder_ls.evaluation.summary import (
    FIRST_LINE,
    MEASURES,
    QUANTILES,
    Group,
    Measure,
    group_by_kind,
    group_by_language,
)
from starcoder_ls.evaluation.svg_plots import Bar

GENERATOR = '<meta name="generator" content="starcoder-ls eval holes">'
"""Is in the head of page.html; by it a report is recognised."""

_MAX_EXAMPLES = 12
_MAX_EXAMPLE_LINES, _MAX_EXAMPLE_CHARS = 14, 1200
_CAPTION = "Share of holes whose first line equals the original, with 95 % intervals."


def render_html(run: Run) -> str:
    all_holes = Group("", "", tuple(run.holes))
    kinds = group_by_kind(run.holes)
    plotted = [group for group in kinds if group.kind]
    template = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"Code suggestions in {', '.join(run.folders)}"),
        subtitle=escape(f"{run.model} on {run.device} · {_describe_holes(run)} · {run.made[:10]}"),
        lead=_summary(all_holes),
        tiles="".join(_tiles(all_holes)),
        kind_plot=_plot("First lines right, by kind of hole", plotted, [group.kind for group in plotted]),
        plot_caption=_CAPTION,
        kind_table=_table(kinds),
        languages=_languages(run),
        outcome_plot=svg_plots.stacked_bars("Outcomes", [(group.name, _outcomes(group)) for group in kinds], _OUTCOMES),
        latency_plot=svg_plots.cumulative_curve(
            "Time to the answer", [("all holes", [hole.elapsed_ms for hole in run.holes], "a")], (0.5, 0.95)
        ),
        latency_table=_latency_table(kinds),
        examples=_examples(run.holes),
        meanings="".join(_fact(measure.name, measure.meaning) for measure in MEASURES),
        facts="".join(_fact(name, value) for name, value in _facts(run)),
    )


def _summary(group: Group) -> str:
    estimates, median = group.estimates(), group.latencies()[0.5]
    first, no_answer = estimates["first line"], estimates["no answer"]
    return escape(
        "Code was removed from real files, and the server suggested text for these holes. In "
        f"{100 * first.value:.0f} of 100 holes the first line of the suggestion equals the original "
        f"({100 * first.low:.0f} to {100 * first.high:.0f}). The server suggested something in "
        f"{100 * (1 - no_answer.value):.0f} of 100 holes. Half of the answers took at most {_format_ms(median.value)}."
    )


_OUTCOMES = (("exact", "good"), ("first line right", "fair"), ("other text", "bad"), ("no answer", "b"))


def _outcomes(group: Group) -> list[float]:
    """Shares that add up to one, in the order of ``_OUTCOMES``."""
    exact = sum(hole.is_exact for hole in group.holes)
    first = sum(hole.is_first_line_match and not hole.is_exact for hole in group.holes)
    no_answer = sum(not hole.has_answer for hole in group.holes)
    total = len(group.holes)
    return [count / total for count in (exact, first, total - exact - first - no_answer, no_answer)]


def _tiles(group: Group) -> list[str]:
    tiles = [
        (
            f"{measure.format(estimate.value)} {'%' if measure.is_percent else 'chars'}",
            measure.name,
            _format_interval(measure, estimate),
        )
        for measure in MEASURES
        for estimate in [measure.estimate(group.holes)]
    ]
    tiles += [
        (_format_ms(found.value), f"time, p{100 * share:g}", f"{_format_ms(found.low)} to {_format_ms(found.high)}")
        for share, found in group.latencies().items()
        if share in (0.5, 0.95)
    ]
    return [
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(interval)}</span></div>'
        for value, name, interval in tiles
    ]


def _plot(title: str, groups: Sequence[Group], labels: Sequence[str]) -> str:
    estimates = [FIRST_LINE.estimate(group.holes) for group in groups]
    bars = [
        Bar(label, estimate, f"{len(group.holes):,} holes", "a")
        for label, estimate, group in zip(labels, estimates, groups, strict=True)
    ]
    return svg_plots.bar_chart(title, bars, svg_plots.axis_end(estimates))


def _languages(run: Run) -> str:
    groups = list(group_by_language(run.holes))
    if not groups:
        return ""
    plotted = [group for group in groups if not group.kind]
    plot = _plot("First lines right, by language", plotted, [group.language for group in plotted])
    caption = f"<figcaption>{_CAPTION}</figcaption>"
    return f'<h2>By language</h2><figure>{plot}{caption}</figure><div class="scroll">{_table(groups)}</div>'


def _table(groups: Sequence[Group]) -> str:
    head = "".join(f"<th>{escape(_heading(measure))}</th>" for measure in MEASURES)
    rows = []
    for group in groups:
        cells = [
            f"<td>{measure.format(estimate.value)}<small>{escape(_format_interval(measure, estimate))}</small></td>"
            for measure in MEASURES
            for estimate in [measure.estimate(group.holes)]
        ]
        rows.append(_row(group, f"<td>{len(group.holes):,}</td>{''.join(cells)}"))
    return f"<table><tr><th></th><th>holes</th>{head}</tr>{''.join(rows)}</table>"


def _latency_table(groups: Sequence[Group]) -> str:
    head = "".join(f"<th>p{100 * share:g}</th>" for share in QUANTILES)
    rows = []
    for group in groups:
        cells = [
            f"<td>{_format_ms(found.value)}<small>{_format_ms(found.low)} to {_format_ms(found.high)}</small></td>"
            for found in group.latencies().values()
        ]
        rows.append(_row(group, "".join(cells)))
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _row(group: Group, cells: str) -> str:
    css = "part" if group.is_subgroup else "" if group.kind else "all"
    return f'<tr class="{css}"><td>{escape(group.name)}</td>{cells}</tr>'


def _examples(holes: Sequence[ScoredHole]) -> str:
    """Evenly spaced holes in the order in which they were drawn."""
    with_texts = [hole for hole in holes if hole.texts is not None]
    if not with_texts:
        return ""
    step = max(1, len(with_texts) // _MAX_EXAMPLES)
    blocks = "".join(_example(hole) for hole in with_texts[step // 2 :: step][:_MAX_EXAMPLES])
    return (
        f'<h2>Examples</h2><p class="soft">Not selected: one of every {step} holes in the order in which they were '
        "drawn. Green text stays if a user accepts the suggestion and deletes from the first wrong character on.</p>"
        f"{blocks}"
    )


def _example(hole: ScoredHole) -> str:
    assert hole.texts is not None
    truth, suggestion = hole.texts.truth, hole.texts.suggestion
    kept = hole.kept_chars
    outcome = (
        "exact" if hole.is_exact else "first line right" if hole.is_first_line_match
        else "no answer" if not hole.has_answer else f"{100 * hole.edit_similarity:.0f} % similar"
    )  # fmt: skip
    position = f"{hole.path}:{hole.line}"
    marked = f"<ins>{_shorten(suggestion[:kept])}</ins><del>{_shorten(suggestion[kept:])}</del>"
    shown = marked if suggestion else "<span class=past>no answer</span>"
    context = escape(hole.texts.before.lstrip("\n"))
    return (
        f'<article class="hole"><header><span>{escape(position)}</span><span>{escape(hole.kind)}</span>'
        f"<span>{escape(outcome)}</span><span>{_format_ms(hole.elapsed_ms)}</span></header>"
        f'<pre><span class="tag">original</span><span class="past">{context}</span><b>{_shorten(truth)}</b></pre>'
        f'<pre><span class="tag">suggested</span>{shown}</pre></article>'
    )


def _shorten(text: str) -> str:
    lines = text.split("\n")
    short = "\n".join(lines[:_MAX_EXAMPLE_LINES])[:_MAX_EXAMPLE_CHARS]
    return escape(short) + ("<span class=past> …</span>" if len(short) < len(text) else "")


def _facts(run: Run) -> list[tuple[str, str]]:
    changed = json.dumps(run.overrides, ensure_ascii=False) if run.overrides else "none"
    return [
        ("program", f"starcoder-ls {run.version}, eval holes"),
        ("model", f"{run.model} on {run.device}" + (f", with {', '.join(run.adapters)}" if run.adapters else "")),
        ("machine", run.machine),
        ("changed settings", changed),
        ("files", f"{run.files:,} source files in {', '.join(run.folders)}"),
        ("holes", f"seed {run.seed}, up to {run.wanted_per_kind:,} of each kind"),
        ("date", run.made),
    ]


def _fact(name: str, value: str) -> str:
    return f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"


def _heading(measure: Measure) -> str:
    return f"{measure.name}, %" if measure.is_percent else f"{measure.name}, chars"


def _format_interval(measure: Measure, estimate: score.Estimate) -> str:
    return f"{measure.format(estimate.low)} to {measure.format(estimate.high)}"


def _describe_holes(run: Run) -> str:
    return f"{_format_count(len(run.holes), 'hole')} in {_format_count(len({hole.path for hole in run.holes}), 'file')}"


def _format_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _format_ms(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
