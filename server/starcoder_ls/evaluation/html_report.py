"""A run of holes as one HTML page that needs nothing else: no script, no font, no request.

Decides what a colleague sees first. Refuses to know how holes were filled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from starcoder_ls.evaluation import score, svg_plots
from starcoder_ls.evaluation.results import Filled, Run
from starcoder_ls.evaluation.summary import FIRST_LINE, MEASURES, QUANTILES, Group, Measure, by_kind, by_language
from starcoder_ls.evaluation.svg_plots import Bar

_EXAMPLES = 12
_MOST_LINES, _MOST_CHARS = 14, 1200
_CAPTION = "Share of holes whose first line is exactly what stood there, with 95 % intervals."


def html(run: Run) -> str:
    everything = Group("", "", tuple(run.holes))
    kinds = by_kind(run.holes)
    plotted = [group for group in kinds if group.kind]
    template = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"Code suggestions in {', '.join(run.folders)}"),
        subtitle=escape(f"{run.model} on {run.device} · {_holes(run)} · {run.made[:10]}"),
        lead=_lead(everything),
        tiles="".join(_tiles(everything)),
        kind_plot=_plot("First lines right, by kind of hole", plotted, [group.kind for group in plotted]),
        plot_caption=_CAPTION,
        kind_table=_table(kinds),
        languages=_languages(run),
        outcome_plot=svg_plots.stacks("What came of each hole", [(g.name, _outcomes(g)) for g in kinds], _OUTCOMES),
        latency_plot=svg_plots.curve(
            "Time to the answer", [("all holes", [hole.elapsed_ms for hole in run.holes], "a")], (0.5, 0.95)
        ),
        latency_table=_latency_table(kinds),
        examples=_examples(run.holes),
        meanings="".join(_fact(measure.name, measure.meaning) for measure in MEASURES),
        facts="".join(_fact(name, value) for name, value in _facts(run)),
    )


def _lead(group: Group) -> str:
    means, median = group.means(), group.latency()[0.5]
    first, silent = means["first line"], means["no answer"]
    return escape(
        "Code was cut out of real files, and the server was asked to fill the holes. In "
        f"{100 * first.value:.0f} of 100 holes the first line is exactly the one that stood there "
        f"({100 * first.low:.0f} to {100 * first.high:.0f}); for {100 * (1 - silent.value):.0f} of 100 something was "
        f"suggested. Half of the answers came within {_ms(median.value)}."
    )


_OUTCOMES = (("exact", "good"), ("first line right", "fair"), ("something else", "bad"), ("nothing", "b"))


def _outcomes(group: Group) -> list[float]:
    """Shares that add up to one, in the order of ``_OUTCOMES``."""
    exact = sum(hole.is_exact for hole in group.holes)
    first = sum(hole.is_first_line_match and not hole.is_exact for hole in group.holes)
    silent = sum(not hole.has_answer for hole in group.holes)
    whole = len(group.holes)
    return [count / whole for count in (exact, first, whole - exact - first - silent, silent)]


def _tiles(group: Group) -> list[str]:
    tiles = [
        (f"{measure.shown(mean.value)} {'%' if measure.is_percent else 'chars'}", measure.name, _range(measure, mean))
        for measure in MEASURES
        for mean in [measure.mean(group.holes)]
    ]
    tiles += [
        (_ms(found.value), f"p{100 * which:g} to the answer", f"{_ms(found.low)} to {_ms(found.high)}")
        for which, found in group.latency().items()
        if which in (0.5, 0.95)
    ]
    return [
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(around)}</span></div>'
        for value, name, around in tiles
    ]


def _plot(title: str, groups: Sequence[Group], labels: Sequence[str]) -> str:
    means = [FIRST_LINE.mean(group.holes) for group in groups]
    rows = [
        Bar(label, mean, f"{len(group.holes):,} holes", "a")
        for label, mean, group in zip(labels, means, groups, strict=True)
    ]
    return svg_plots.bars(title, rows, svg_plots.axis_end(means))


def _languages(run: Run) -> str:
    groups = list(by_language(run.holes))
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
            f"<td>{measure.shown(mean.value)}<small>{escape(_range(measure, mean))}</small></td>"
            for measure in MEASURES
            for mean in [measure.mean(group.holes)]
        ]
        rows.append(_row(group, f"<td>{len(group.holes):,}</td>{''.join(cells)}"))
    return f"<table><tr><th></th><th>holes</th>{head}</tr>{''.join(rows)}</table>"


def _latency_table(groups: Sequence[Group]) -> str:
    head = "".join(f"<th>p{100 * which:g}</th>" for which in QUANTILES)
    rows = []
    for group in groups:
        cells = [
            f"<td>{_ms(found.value)}<small>{_ms(found.low)} to {_ms(found.high)}</small></td>"
            for found in group.latency().values()
        ]
        rows.append(_row(group, "".join(cells)))
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _row(group: Group, cells: str) -> str:
    css = "part" if group.is_part else "" if group.kind else "all"
    return f'<tr class="{css}"><td>{escape(group.name)}</td>{cells}</tr>'


def _examples(holes: Sequence[Filled]) -> str:
    """Every so many holes in the order of drawing, good and bad, none chosen."""
    shown = [hole for hole in holes if hole.texts is not None]
    if not shown:
        return ""
    step = max(1, len(shown) // _EXAMPLES)
    blocks = "".join(_example(hole) for hole in shown[step // 2 :: step][:_EXAMPLES])
    return (
        f'<h2>Examples</h2><p class="soft">Not chosen: one of every {step} holes as they were drawn. Green is what '
        f"somebody keeps who accepts and deletes from the first wrong character on.</p>{blocks}"
    )


def _example(hole: Filled) -> str:
    assert hole.texts is not None
    truth, said = hole.texts.truth, hole.texts.suggestion
    kept = hole.kept_chars
    verdict = (
        "exact" if hole.is_exact else "first line right" if hole.is_first_line_match
        else "no answer" if not hole.has_answer else f"{100 * hole.edit_similarity:.0f} % similar"
    )  # fmt: skip
    where = f"{hole.path}:{hole.line}"
    shown = (
        f"<ins>{_cut(said[:kept])}</ins><del>{_cut(said[kept:])}</del>" if said else "<span class=past>nothing</span>"
    )
    past = escape(hole.texts.before.lstrip("\n"))
    return (
        f'<article class="hole"><header><span>{escape(where)}</span><span>{escape(hole.kind)}</span>'
        f"<span>{escape(verdict)}</span><span>{_ms(hole.elapsed_ms)}</span></header>"
        f'<pre><span class="tag">really there</span><span class="past">{past}</span><b>{_cut(truth)}</b></pre>'
        f'<pre><span class="tag">suggested</span>{shown}</pre></article>'
    )


def _cut(text: str) -> str:
    lines = text.split("\n")
    short = "\n".join(lines[:_MOST_LINES])[:_MOST_CHARS]
    return escape(short) + ("<span class=past> …</span>" if len(short) < len(text) else "")


def _facts(run: Run) -> list[tuple[str, str]]:
    changed = (
        json.dumps(run.overrides, ensure_ascii=False) if run.overrides else "as they are by default or in the file"
    )
    return [
        ("program", f"starcoder-ls {run.version}, eval holes"),
        ("model", f"{run.model} on {run.device}" + (f", with {', '.join(run.adapters)}" if run.adapters else "")),
        ("machine", run.machine),
        ("settings", changed),
        ("drawn from", f"{run.files:,} source files in {', '.join(run.folders)}"),
        ("drawn by", f"seed {run.seed}, up to {run.wanted_per_kind:,} of each kind"),
        ("made", run.made),
    ]


def _fact(name: str, value: str) -> str:
    return f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"


def _heading(measure: Measure) -> str:
    return f"{measure.name}, %" if measure.is_percent else f"{measure.name}, chars"


def _range(measure: Measure, mean: score.Mean) -> str:
    return f"{measure.shown(mean.low)} to {measure.shown(mean.high)}"


def _holes(run: Run) -> str:
    return f"{_counted(len(run.holes), 'hole')} in {_counted(len({hole.path for hole in run.holes}), 'file')}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _ms(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
