"""The curves of a soak run: memory, descriptors, threads, latency, requests. Needs matplotlib (extra ``soak``).

python benchmarks/lib/soak/plots.py REPORT.json PICTURE.png draws a saved report.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # no display

from matplotlib.axes import Axes
from matplotlib.figure import Figure

QUANTITIES = (
    ("anonymous", 1e6, "anonymous memory of daemons, MB", True),
    ("resident", 1e6, "resident memory (RSS) of daemons, MB", True),
    ("anonymous", 1e6, "anonymous memory of windows, MB", False),
    ("descriptors", 1, "file descriptors", None),
    ("threads", 1, "threads", None),
)
"""Field, divisor, title, and whether only daemons (True) or only windows (False) are drawn."""


def draw(report: Mapping[str, Any], file: Path) -> None:
    """Write the picture; its format is that of the suffix, such as .png or .svg."""
    figure = Figure(figsize=(16, 14), layout="constrained")
    axes = list(figure.subplots(4, 2).flat)
    for axis, (field, divisor, title, shows_daemons) in zip(axes, QUANTITIES, strict=False):
        for process in report["processes"]:
            if shows_daemons in (None, process["name"].endswith("daemon")):
                _draw_process(axis, process, field, divisor)
        _finish(axis, title)
    latency, requests, faults = axes[len(QUANTITIES) :]
    for name, group in report["groups"].items():
        minutes = [row["minute"] for row in group["latency"]]
        for key, style in (("p50_ms", "-"), ("p99_ms", ":")):
            latency.plot(minutes, [row[key] for row in group["latency"]], style, label=f"{name}: {key[:3]}")
        requests.plot(minutes, [row["requests"] for row in group["latency"]], label=f"{name}: completions a minute")
        times = sorted(request["sent_s"] / 60 for request in group["unanswered"])
        faults.step([0, *times], range(len(times) + 1), where="post", label=f"{name}: unanswered")
        events = [event["time_s"] / 60 for event in group["events"]]
        faults.plot(events, [0] * len(events), "|", markersize=12, label=f"{name}: faults and ends")
    latency.set_yscale("log")
    _finish(latency, "latency of inline completions, ms")
    _finish(requests, "requests")
    _finish(faults, "unanswered requests, and what the run did")
    figure.savefig(file, dpi=80)


def _draw_process(axis: Axes, process: Mapping[str, Any], field: str, divisor: float) -> None:
    minutes = [time_s / 60 for time_s in process["time_s"]]
    is_long = len(minutes) > 100
    axis.plot(
        minutes,
        [value / divisor for value in process[field]],
        linewidth=1.2 if is_long else 0.7,
        label=f"{process['name']} ({process['process']})" if is_long else None,
    )


def _finish(axis: Axes, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("minutes")
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
