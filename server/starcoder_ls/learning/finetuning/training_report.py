"""The report of a run as one HTML page without scripts, fonts or requests: losses by step, figures, data.

It contains no code of the user.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from starcoder_ls.learning.finetuning.adapter_card import EDITS, PREFERENCES, unit_of

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 280, 48, 30, 12
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --faint: #e3e7ec; --paper: #fff;
  --a: #2f6fb0; --b: #b0572f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa5b4; --faint: #313a46; --paper: #14181e; } }
body { margin: 0 auto; padding: 2.5rem 1.5rem; max-width: 56rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; } .grid { stroke: var(--faint); }
.training { fill: none; stroke: var(--a); stroke-width: 1.5; }
.validation { fill: none; stroke: var(--b); stroke-width: 2; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; } .key-a { color: var(--a); } .key-b { color: var(--b); }
"""
_SMOOTHED_SHARE = 0.05

Points = list[tuple[float, float]]


def render_report(name: str, training: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> str:
    """The page for a version; ``log`` are the reports of its run."""
    before, after = training["held_out_loss"]["base"], training["held_out_loss"]["adapted"]
    unit = unit_of(training)
    facts = {
        "base": training["base"],
        "method": training["method"],
        "device": training["device"],
        unit: ", ".join(f"{count} {part}" for part, count in training["files"].items()),
        "left out": ", ".join(f"{count} {reason}" for reason, count in training["left_out"].items()) or "none",
        "tokens": f"{training['tokens']:,} in the {unit}, {training['trained_tokens']:,} read",
        "held-out loss": f"{before['loss']:.3f} to {after['loss']:.3f}",
        "held-out loss of middles": f"{before['middle_loss']:.3f} to {after['middle_loss']:.3f}",
        "time": f"{training['seconds'] / 60:.1f} minutes",
        "made": training["made"],
    }
    plots = {"Middles": "middle_loss", "All tokens": "loss"}
    if training.get("objective") == PREFERENCES:
        del facts["held-out loss of middles"]
        agreement = training["agreement"]
        facts["held-out examples in which it agrees"] = f"{agreement['base']:.0%} to {agreement['adapted']:.0%}"
        plots = {"Loss of preferences": "loss"}
    elif training.get("objective") == EDITS:
        del facts["held-out loss"]
        facts["held-out loss of answers"] = facts.pop("held-out loss of middles")
        plots = {"Answers": "middle_loss"}
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items())
    figures = "".join(f"<h2>{title}</h2>{_plot(*_curves(log, key))}" for title, key in plots.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Training of {escape(name)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>Training of {escape(name)}</h1>"
        '<p><span class="key-a">Training loss</span> (running mean) and <span class="key-b">validation loss</span>, in '
        "nats, by step.</p>"
        f"{figures}<dl>{rows}</dl></body></html>"
    )


def _curves(log: Sequence[Mapping[str, Any]], key: str) -> tuple[Points, Points]:
    """The running mean of the training loss, and the validation loss, by step."""
    factor = 1 - max(_SMOOTHED_SHARE, 1 / max(1, len(log)))
    mean, training = math.nan, []
    for report in log:
        value = report["training"][key]
        if math.isfinite(value):
            mean = value if math.isnan(mean) else factor * mean + (1 - factor) * value
            training.append((float(report["step"]), mean))
    validation = [(float(r["step"]), float(r["validation"][key])) for r in log if r["validation"] is not None]
    return training, validation


def _plot(training: Points, validation: Points) -> str:
    points = [*training, *validation]
    if not points:
        return "<p>No step was made.</p>"
    last = max(step for step, _ in points)
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    low, high = low - 0.05 * (high - low + 0.01), high + 0.05 * (high - low + 0.01)

    def position(step: float, loss: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - 8) * step / max(last, 1.0)
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - loss) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = []
    for number in range(5):
        loss = low + (high - low) * number / 4
        y = position(0, loss).split(",")[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" dy="4" text-anchor="end">{loss:.2f}</text>')
    parts.append(f'<text x="{_WIDTH}" y="{_HEIGHT - 8}" text-anchor="end">{last:,.0f} steps</text>')
    for css, curve in (("training", training), ("validation", validation)):
        parts.append(f'<polyline class="{css}" points="{" ".join(position(*point) for point in curve)}"/>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'
