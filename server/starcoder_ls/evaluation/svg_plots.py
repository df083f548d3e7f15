"""Draws plots as SVG for an HTML page: bars with intervals, stacked bars, and a cumulative curve.

Colours are CSS classes, so that the page can be light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from starcoder_ls.evaluation.score import Estimate

WIDTH = 720
_LEFT, _RIGHT, _TOP, _BOTTOM = 190, 64, 10, 30
_ROW_HEIGHT, _BAR_HEIGHT = 36, 14


@dataclass(frozen=True, slots=True)
class Bar:
    """``css`` is the class of the colour; ``note`` is shown in small print below the label."""

    label: str
    estimate: Estimate
    note: str = ""
    css: str = "a"


def bar_chart(title: str, bars: Sequence[Bar], top: float = 1.0) -> str:
    """Horizontal bars of shares with their intervals, in per cent; ``top`` is the share at the end of the axis."""
    span = WIDTH - _LEFT - _RIGHT
    height = _TOP + _ROW_HEIGHT * len(bars) + _BOTTOM
    bottom = height - _BOTTOM

    def x(value: float) -> float:
        return round(_LEFT + span * min(max(value, 0.0), top) / top, 1)

    parts = []
    for mark in _ticks(top):
        parts.append(f'<line class="grid" x1="{x(mark)}" x2="{x(mark)}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="axis" x="{x(mark)}" y="{bottom + 18}" text-anchor="middle">{100 * mark:g} %</text>')
    for number, bar in enumerate(bars):
        middle = _TOP + _ROW_HEIGHT * number + _ROW_HEIGHT / 2
        low, high = x(bar.estimate.low), x(bar.estimate.high)
        description = f"{bar.label}: {bar.estimate} %"
        parts += [
            f"<g><title>{escape(description)}</title>",
            f'<text class="label" x="{_LEFT - 10}" y="{middle - (3 if bar.note else -4)}" text-anchor="end">'
            f"{escape(bar.label)}</text>",
            f'<text class="axis" x="{_LEFT - 10}" y="{middle + 10}" text-anchor="end">{escape(bar.note)}</text>',
            f'<rect class="bar {bar.css}" x="{_LEFT}" y="{middle - _BAR_HEIGHT / 2}" '
            f'width="{max(x(bar.estimate.value) - _LEFT, 0.5):.1f}" height="{_BAR_HEIGHT}" rx="2"/>',
            f'<path class="whisker" d="M{low} {middle}H{high}M{low} {middle - 4}v8M{high} {middle - 4}v8"/>',
            f'<text class="value" x="{high + 7}" y="{middle + 4}">{100 * bar.estimate.value:.1f}</text></g>',
        ]
    return _svg(title, height, parts)


def stacked_bars(title: str, rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[tuple[str, str]]) -> str:
    """Full-width bars divided into shares: ``rows`` of (label, shares), and ``names`` of (meaning, CSS class)."""
    span, top = WIDTH - _LEFT - _RIGHT, _TOP + 24
    parts, x = [], float(_LEFT)
    for name, css in names:
        parts.append(f'<rect class="bar {css}" x="{x:g}" y="{_TOP - 2}" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="axis" x="{x + 17:g}" y="{_TOP + 8}">{escape(name)}</text>')
        x += 40 + 6.5 * len(name)
    for number, (label, shares) in enumerate(rows):
        middle, begin = top + 28 * number + 14, float(_LEFT)
        parts.append(f'<text class="label" x="{_LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(label)}</text>')
        for share, (name, css) in zip(shares, names, strict=True):
            width = span * share
            description = escape(f"{label}, {name}: {100 * share:.1f} %")
            parts.append(
                f'<rect class="bar {css}" x="{begin:.1f}" y="{middle - 9}" width="{max(0.0, width - 1):.1f}" '
                f'height="18"><title>{description}</title></rect>'
            )
            if width >= 26:
                parts.append(
                    f'<text class="inside" x="{begin + width / 2:.1f}" y="{middle + 4}" text-anchor="middle">'
                    f"{100 * share:.0f}</text>"
                )
            begin += width
    return _svg(title, top + 28 * len(rows) + 6, parts)


def cumulative_curve(
    title: str, lines: Sequence[tuple[str, Sequence[float], str]], marked_shares: Sequence[float]
) -> str:
    """The share of requests answered within a time, on a logarithmic axis; ``lines`` are (name, milliseconds, class).

    ``marked_shares`` are marked with a dot and a label on the first curve. Empty if no time is positive.
    """
    left, height = 56, 250
    bottom, span, rise = height - 34, WIDTH - left - 24, height - 34 - _TOP
    times = [value for _, values, _ in lines for value in values if value > 0]
    if not times:
        return ""
    low, high = math.log10(min(times)) - 0.03, math.log10(max(times)) + 0.03

    def x(value: float) -> float:
        return round(left + span * (math.log10(max(value, 1e-3)) - low) / max(high - low, 1e-6), 1)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = round(bottom - rise * share, 1)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + span}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="axis" x="{left - 8}" y="{y + 4}" text-anchor="end">{100 * share:g} %</text>')
    for value in _axis_marks(low, high):
        parts.append(f'<line class="grid" x1="{x(value)}" x2="{x(value)}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text class="axis" x="{x(value)}" y="{bottom + 18}" text-anchor="middle">{_format_time(value)}</text>'
        )
    for name, values, css in lines:
        ordered = sorted(value for value in values if value > 0)
        steps = [f"M{left} {bottom}"]
        for number, value in enumerate(ordered, 1):
            steps.append(f"H{x(value)}V{round(bottom - rise * number / len(ordered), 1)}")
        parts.append(f'<path class="line {css}" d="{"".join(steps)}"><title>{escape(name)}</title></path>')
    ordered = sorted(value for value in lines[0][1] if value > 0)
    for share in marked_shares:
        value = ordered[min(len(ordered), max(1, math.ceil(len(ordered) * share))) - 1] if ordered else 1.0
        y = round(bottom - rise * share, 1)
        anchor, shift = ("end", -8) if x(value) > WIDTH / 2 else ("start", 8)
        parts.append(f'<circle class="dot" cx="{x(value)}" cy="{y}" r="3.5"/>')
        parts.append(
            f'<text class="value" x="{x(value) + shift}" y="{y - 5 if anchor == "end" else y + 14}" '
            f'text-anchor="{anchor}">p{100 * share:g} {_format_time(value)}</text>'
        )
    return _svg(title, height, parts)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
    return "\n".join((head, f"<title>{escape(title)}</title>", *parts, "</svg>"))


def _ticks(top: float) -> list[float]:
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if top / step <= 5.01)
    return [round(step * number, 4) for number in range(int(top / step + 0.01) + 1)]


def axis_end(estimates: Sequence[Estimate]) -> float:
    """A round share at the end of the axis, beyond all intervals."""
    highest = max((estimate.high for estimate in estimates), default=1.0)
    return next((end for end in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if highest <= end * 0.98), 1.0)


def _axis_marks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times each power of ten between 10**low and 10**high; powers of ten alone if that is too many."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    return [step * 10.0**power for power in powers for step in steps if low <= math.log10(step * 10.0**power) <= high]


def _format_time(ms: float) -> str:
    return f"{ms / 1000:.3g} s" if ms >= 1000 else f"{ms:.3g} ms"
