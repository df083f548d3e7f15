"""Plots as SVG in the text of a page: bars with intervals, a curve of latencies.

Decides axes, marks and labels; colours are CSS classes, so that a page can be light or dark. Refuses to know what is
plotted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from starcoder_ls.evaluation.score import Mean

WIDTH = 720
_LEFT, _RIGHT, _TOP, _FOOT = 190, 64, 10, 30
_ROW, _BAR = 36, 14


@dataclass(frozen=True, slots=True)
class Bar:
    """``css`` picks the colour; ``note`` stands small beside the label."""

    label: str
    mean: Mean
    note: str = ""
    css: str = "a"


def bars(title: str, rows: Sequence[Bar], top: float = 1.0) -> str:
    """Horizontal bars of shares with their intervals, in per cent; ``top`` is the end of the axis."""
    span = WIDTH - _LEFT - _RIGHT
    height = _TOP + _ROW * len(rows) + _FOOT
    foot = height - _FOOT

    def x(value: float) -> float:
        return round(_LEFT + span * min(max(value, 0.0), top) / top, 1)

    parts = []
    for mark in _ticks(top):
        parts.append(f'<line class="grid" x1="{x(mark)}" x2="{x(mark)}" y1="{_TOP}" y2="{foot}"/>')
        parts.append(f'<text class="axis" x="{x(mark)}" y="{foot + 18}" text-anchor="middle">{100 * mark:g} %</text>')
    for number, row in enumerate(rows):
        middle = _TOP + _ROW * number + _ROW / 2
        low, high = x(row.mean.low), x(row.mean.high)
        said = f"{row.label}: {row.mean} %"
        parts += [
            f"<g><title>{escape(said)}</title>",
            f'<text class="label" x="{_LEFT - 10}" y="{middle - (3 if row.note else -4)}" text-anchor="end">'
            f"{escape(row.label)}</text>",
            f'<text class="axis" x="{_LEFT - 10}" y="{middle + 10}" text-anchor="end">{escape(row.note)}</text>',
            f'<rect class="bar {row.css}" x="{_LEFT}" y="{middle - _BAR / 2}" '
            f'width="{max(x(row.mean.value) - _LEFT, 0.5):.1f}" height="{_BAR}" rx="2"/>',
            f'<path class="whisker" d="M{low} {middle}H{high}M{low} {middle - 4}v8M{high} {middle - 4}v8"/>',
            f'<text class="value" x="{high + 7}" y="{middle + 4}">{100 * row.mean.value:.1f}</text></g>',
        ]
    return _svg(title, height, parts)


def stacks(title: str, rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[tuple[str, str]]) -> str:
    """Whole bars cut into shares, ``rows`` of (label, shares); ``names`` of (meaning, CSS class) make the legend."""
    span, top = WIDTH - _LEFT - _RIGHT, _TOP + 24
    parts, at = [], float(_LEFT)
    for name, css in names:
        parts.append(f'<rect class="bar {css}" x="{at:g}" y="{_TOP - 2}" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="axis" x="{at + 17:g}" y="{_TOP + 8}">{escape(name)}</text>')
        at += 40 + 6.5 * len(name)
    for number, (label, shares) in enumerate(rows):
        middle, begin = top + 28 * number + 14, float(_LEFT)
        parts.append(f'<text class="label" x="{_LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(label)}</text>')
        for share, (name, css) in zip(shares, names, strict=True):
            width = span * share
            said = escape(f"{label}, {name}: {100 * share:.1f} %")
            parts.append(
                f'<rect class="bar {css}" x="{begin:.1f}" y="{middle - 9}" width="{max(0.0, width - 1):.1f}" '
                f'height="18"><title>{said}</title></rect>'
            )
            if width >= 26:
                parts.append(
                    f'<text class="inside" x="{begin + width / 2:.1f}" y="{middle + 4}" text-anchor="middle">'
                    f"{100 * share:.0f}</text>"
                )
            begin += width
    return _svg(title, top + 28 * len(rows) + 6, parts)


def curve(title: str, lines: Sequence[tuple[str, Sequence[float], str]], marks: Sequence[float]) -> str:
    """The share of requests answered within a time, on a logarithmic axis; ``lines`` are (name, milliseconds, class).

    ``marks`` are shares that get a line across the first curve.
    """
    left, height = 56, 250
    foot, span, rise = height - 34, WIDTH - left - 24, height - 34 - _TOP
    everything = [value for _, values, _ in lines for value in values if value > 0]
    if not everything:
        return ""
    least, most = math.log10(min(everything)) - 0.03, math.log10(max(everything)) + 0.03

    def x(value: float) -> float:
        return round(left + span * (math.log10(max(value, 1e-3)) - least) / max(most - least, 1e-6), 1)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = round(foot - rise * share, 1)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + span}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="axis" x="{left - 8}" y="{y + 4}" text-anchor="end">{100 * share:g} %</text>')
    for value in _decades(least, most):
        parts.append(f'<line class="grid" x1="{x(value)}" x2="{x(value)}" y1="{_TOP}" y2="{foot}"/>')
        parts.append(f'<text class="axis" x="{x(value)}" y="{foot + 18}" text-anchor="middle">{_time(value)}</text>')
    for name, values, css in lines:
        ordered = sorted(value for value in values if value > 0)
        steps = [f"M{left} {foot}"]
        for number, value in enumerate(ordered, 1):
            steps.append(f"H{x(value)}V{round(foot - rise * number / len(ordered), 1)}")
        parts.append(f'<path class="line {css}" d="{"".join(steps)}"><title>{escape(name)}</title></path>')
    ordered = sorted(value for value in lines[0][1] if value > 0)
    for share in marks:
        value = ordered[min(len(ordered), max(1, math.ceil(len(ordered) * share))) - 1] if ordered else 1.0
        y = round(foot - rise * share, 1)
        anchor, shift = ("end", -8) if x(value) > WIDTH / 2 else ("start", 8)
        parts.append(f'<circle class="dot" cx="{x(value)}" cy="{y}" r="3.5"/>')
        parts.append(
            f'<text class="value" x="{x(value) + shift}" y="{y - 5 if anchor == "end" else y + 14}" '
            f'text-anchor="{anchor}">p{100 * share:g} {_time(value)}</text>'
        )
    return _svg(title, height, parts)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
    return "\n".join((head, f"<title>{escape(title)}</title>", *parts, "</svg>"))


def _ticks(top: float) -> list[float]:
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if top / step <= 5.01)
    return [round(step * number, 4) for number in range(int(top / step + 0.01) + 1)]


def axis_end(means: Sequence[Mean]) -> float:
    """A round end of an axis that holds all intervals."""
    most = max((mean.high for mean in means), default=1.0)
    return next((end for end in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if most <= end * 0.98), 1.0)


def _decades(least: float, most: float) -> list[float]:
    """1, 2 and 5 of each power of ten between; powers of ten alone where that is too many."""
    powers = range(math.floor(least), math.ceil(most) + 1)
    steps = (1, 2, 5) if most - least < 2.5 else (1,)
    return [step * 10.0**power for power in powers for step in steps if least <= math.log10(step * 10.0**power) <= most]


def _time(ms: float) -> str:
    return f"{ms / 1000:.3g} s" if ms >= 1000 else f"{ms:.3g} ms"
