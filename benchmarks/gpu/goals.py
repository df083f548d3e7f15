"""The goals of the GPU benchmark, and one picture of which are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, LEFT, ROW_HEIGHT, TOP = 360, 330, 24, 46
MAX_SHARE = 2.0
REACHED, MISSED = "#1a7f37", "#cf222e"


@dataclass(frozen=True, slots=True)
class Goal:
    """A result and what it should be: at least ``goal``, or at most if ``is_limit``."""

    value: float
    goal: float
    is_limit: bool = False

    @property
    def share(self) -> float:
        """How much of the goal is reached: 1 or more is all of it."""
        if self.is_limit:
            return self.goal / self.value if self.value else float("inf")
        return self.value / self.goal

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "goal": self.goal, "at_most": self.is_limit, "reached": self.share >= 1}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Goal:
        return cls(stored["value"], stored["goal"], stored["at_most"])


def render_svg(machine: str, goals: Mapping[str, Goal]) -> str:
    """An SVG document with a bar for each goal; the line is where it is reached."""
    height, reached_x = TOP + ROW_HEIGHT * len(goals) + 16, LEFT + WIDTH / MAX_SHARE
    elements = [f'<text x="8" y="18" style="font-weight:bold">{escape(machine)}</text>']
    for number, (name, goal) in enumerate(goals.items()):
        y = TOP + ROW_HEIGHT * number
        width = WIDTH * min(goal.share, MAX_SHARE) / MAX_SHARE if goal.share == goal.share else 0  # NaN
        bound = "at most" if goal.is_limit else "at least"
        color = REACHED if goal.share >= 1 else MISSED
        elements += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="{ROW_HEIGHT - 8}" fill="{color}"/>',
            f'<text x="{LEFT + WIDTH + 8}" y="{y + 14}">{goal.value:.3g} ({bound} {goal.goal:g})</text>',
        ]
    elements.append(f'<path d="M{reached_x} {TOP - 8}V{height - 10}" stroke="#57606a" stroke-dasharray="4 3"/>')
    elements.append(f'<text x="{reached_x}" y="{TOP - 14}" text-anchor="middle">goal</text>')
    style = "font:12px sans-serif;fill:#57606a;background:#fff"
    box = f"0 0 {LEFT + WIDTH + 190} {height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" style="{style}">\n'
        + "\n".join(elements)
        + "\n</svg>\n"
    )
