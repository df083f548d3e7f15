"""Latencies as a picture: the share of answers that came within so many milliseconds. SVG, for any browser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, GAP, LINE = 380, 210, 44, 34, 30, 16
LEAST_MS, MOST_MS = 0.5, 10_000.0
COLOURS = ("#1a7f37", "#0969da", "#8250df", "#cf222e", "#9a6700")


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    times_ms: Sequence[float]


def drawn(charts: Mapping[str, Sequence[Series]]) -> str:
    """One panel per chart, side by side, with a logarithmic axis of time."""
    panels = [
        _panel(title, series, LEFT + number * (WIDTH + GAP + LEFT))
        for number, (title, series) in enumerate(charts.items())
    ]
    most = max((len(series) for series in charts.values()), default=0)
    width, height = len(charts) * (WIDTH + GAP + LEFT), TOP + HEIGHT + 40 + LINE * most
    style = "font:12px sans-serif;fill:#57606a"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="{style};background:#fff">\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _x(ms: float) -> float:
    share = math.log(min(max(ms, LEAST_MS), MOST_MS) / LEAST_MS) / math.log(MOST_MS / LEAST_MS)
    return WIDTH * share


def _panel(title: str, series: Sequence[Series], left: float) -> str:
    marks = [
        f'<g transform="translate({left},{TOP})">',
        f'<text x="0" y="-14" style="font-weight:bold">{escape(title)}</text>',
    ]
    for ms in (1, 10, 100, 1000, 10_000):
        label = f"{ms} ms" if ms < 1000 else f"{ms // 1000} s"
        marks.append(f'<path d="M{_x(ms):.1f} 0V{HEIGHT}" stroke="#d0d7de"/>')
        marks.append(f'<text x="{_x(ms):.1f}" y="{HEIGHT + 16}" text-anchor="middle">{label}</text>')
    for percent in (0, 50, 95, 100):
        y = HEIGHT * (1 - percent / 100)
        marks.append(f'<path d="M0 {y:.1f}H{WIDTH}" stroke="#d0d7de"/>')
        if percent != 95:
            marks.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        marks.append(f'<path d="{_steps(one.times_ms)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = HEIGHT + 40 + LINE * number  # below the axis, where no curve runs
        marks.append(f'<text x="0" y="{y}" style="fill:{colour}">{escape(one.name)}</text>')
    return "\n".join([*marks, "</g>"])


def _steps(times_ms: Sequence[float]) -> str:
    ordered = sorted(times_ms)
    points = [f"M{_x(ordered[0]):.1f} {HEIGHT}"] if ordered else []
    every = max(1, len(ordered) // 150)
    for number, ms in enumerate(ordered, 1):
        if number % every == 0 or number == len(ordered):
            points.append(f"H{_x(ms):.1f}V{HEIGHT * (1 - number / len(ordered)):.1f}")
    return "".join(points)
