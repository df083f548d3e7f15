"""An SVG chart of latency distributions: the percentage of answers within so many milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

PANEL_WIDTH, PANEL_HEIGHT, LEFT_MARGIN, TOP_MARGIN, PANEL_DISTANCE, LINE_HEIGHT = 380, 210, 44, 34, 30, 16
MIN_MS, MAX_MS = 0.5, 10_000.0
COLORS = ("#1a7f37", "#0969da", "#8250df", "#cf222e", "#9a6700")


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    times_ms: Sequence[float]


def render_svg(charts: Mapping[str, Sequence[Series]]) -> str:
    """Return an SVG document with one panel per chart, side by side, over a logarithmic axis of time."""
    panels = [
        _panel(title, series, LEFT_MARGIN + number * (PANEL_WIDTH + PANEL_DISTANCE + LEFT_MARGIN))
        for number, (title, series) in enumerate(charts.items())
    ]
    max_series = max((len(series) for series in charts.values()), default=0)
    width, height = (
        len(charts) * (PANEL_WIDTH + PANEL_DISTANCE + LEFT_MARGIN),
        TOP_MARGIN + PANEL_HEIGHT + 40 + LINE_HEIGHT * max_series,
    )
    style = "font:12px sans-serif;fill:#57606a"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="{style};background:#fff">\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _x(ms: float) -> float:
    fraction = math.log(min(max(ms, MIN_MS), MAX_MS) / MIN_MS) / math.log(MAX_MS / MIN_MS)
    return PANEL_WIDTH * fraction


def _panel(title: str, series: Sequence[Series], left: float) -> str:
    elements = [
        f'<g transform="translate({left},{TOP_MARGIN})">',
        f'<text x="0" y="-14" style="font-weight:bold">{escape(title)}</text>',
    ]
    for ms in (1, 10, 100, 1000, 10_000):
        label = f"{ms} ms" if ms < 1000 else f"{ms // 1000} s"
        elements.append(f'<path d="M{_x(ms):.1f} 0V{PANEL_HEIGHT}" stroke="#d0d7de"/>')
        elements.append(f'<text x="{_x(ms):.1f}" y="{PANEL_HEIGHT + 16}" text-anchor="middle">{label}</text>')
    for percent in (0, 50, 95, 100):
        y = PANEL_HEIGHT * (1 - percent / 100)
        elements.append(f'<path d="M0 {y:.1f}H{PANEL_WIDTH}" stroke="#d0d7de"/>')
        if percent != 95:
            elements.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for number, curve in enumerate(series):
        color = COLORS[number % len(COLORS)]
        elements.append(f'<path d="{_curve_path(curve.times_ms)}" fill="none" stroke="{color}" stroke-width="2"/>')
        y = PANEL_HEIGHT + 40 + LINE_HEIGHT * number  # the legend is below the axis
        elements.append(f'<text x="0" y="{y}" style="fill:{color}">{escape(curve.name)}</text>')
    return "\n".join([*elements, "</g>"])


def _curve_path(times_ms: Sequence[float]) -> str:
    ordered = sorted(times_ms)
    points = [f"M{_x(ordered[0]):.1f} {PANEL_HEIGHT}"] if ordered else []
    interval = max(1, len(ordered) // 150)
    for number, ms in enumerate(ordered, 1):
        if number % interval == 0 or number == len(ordered):
            points.append(f"H{_x(ms):.1f}V{PANEL_HEIGHT * (1 - number / len(ordered)):.1f}")
    return "".join(points)
