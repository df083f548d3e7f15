"""The results of a soak run as JSON, as a summary to read, and as a verdict."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lib.soak import memory_slope
from lib.soak.process_samples import Sample, SampleLog
from lib.soak.request_ledger import RequestLedger


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run must keep. Slopes are fitted to ``min_fitted_s`` at least, after ``warm_up_s``.

    With ``min_rests`` samples at rest after it, their slope decides: while users work, what they have open changes the
    memory of a daemon by 60 MB within minutes.
    """

    mb_per_hour: float = 5.0
    warm_up_s: float = 20 * 60
    min_fitted_s: float = 10 * 60
    min_rests: int = 5


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of ``values`` lie, by the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def latency_rows(latencies_ms: Mapping[int, Sequence[float]]) -> list[dict[str, float]]:
    """One row per minute with requests."""
    return [
        {
            "minute": minute,
            "requests": len(times_ms),
            "p50_ms": round(statistics.median(times_ms), 2),
            "p99_ms": round(percentile(times_ms, 99), 2),
        }
        for minute, times_ms in sorted(latencies_ms.items())
    ]


def slopes(samples: SampleLog, rested: SampleLog, limits: Limits) -> list[dict[str, Any]]:
    """The slopes of each process that lived long enough; the limit applies to the anonymous memory."""
    rows = []
    for (name, process_id), points in samples.by_process.items():
        begin_s = points[0].time_s + limits.warm_up_s
        fits = {field: _fit(points, field, begin_s, limits) for field in ("anonymous", "unique", "resident")}
        if (anonymous := fits["anonymous"]) is None:
            continue
        rows.append(
            {
                "name": name,
                "process": process_id,
                "fitted_hours": round(anonymous.hours, 3),
                **{f"{field}_mb_per_hour": round(fit.mb_per_hour, 3) for field, fit in fits.items() if fit is not None},
                "first_mb": round(points[0].anonymous / 1e6, 1),
                "last_mb": round(points[-1].anonymous / 1e6, 1),
                "max_mb": round(max(point.anonymous for point in points) / 1e6, 1),
                "at_rest": _slope_at_rest(rested.by_process.get((name, process_id), ()), begin_s, limits),
            }
        )
    return rows


def _fit(points: Sequence[Sample], field: str, begin_s: float, limits: Limits) -> memory_slope.Slope | None:
    times_s = [point.time_s for point in points]
    return memory_slope.fit(times_s, [getattr(point, field) for point in points], begin_s, limits.min_fitted_s)


def _slope_at_rest(points: Sequence[Sample], begin_s: float, limits: Limits) -> dict[str, float] | None:
    """Of the anonymous memory, with the limits of 95 % confidence; None if there are too few samples."""
    fitted = [point for point in points if point.time_s >= begin_s]
    slope = _fit(fitted, "anonymous", begin_s, limits) if len(fitted) >= limits.min_rests else None
    if slope is None:
        return None
    return {
        "samples": len(fitted),
        **{name: round(getattr(slope, name), 3) for name in ("mb_per_hour", "low", "high")},
        "first_mb": round(fitted[0].anonymous / 1e6, 1),
        "last_mb": round(fitted[-1].anonymous / 1e6, 1),
    }


def growth(row: Mapping[str, Any]) -> float:
    """The slope of a row of ``slopes`` that decides, in MB per hour."""
    at_rest = row["at_rest"]
    return float(row["anonymous_mb_per_hour"] if at_rest is None else at_rest["mb_per_hour"])


def find_faults(
    ledgers: Mapping[str, RequestLedger],
    slope_rows: Sequence[Mapping[str, Any]],
    left_over: Sequence[str],
    limits: Limits,
) -> list[str]:
    """What must not be, one sentence each. Empty for a run that passed."""
    found = [
        f"{row['name']} (process {row['process']}) grows by {growth(row):.1f} MB/h"
        for row in slope_rows
        if growth(row) >= limits.mb_per_hour
    ]
    for name, ledger in ledgers.items():
        if ledger.unanswered_count:
            found.append(f"{name}: {ledger.unanswered_count} requests stayed unanswered")
        found += [f"{name}: {failure}" for failure in ledger.failures]
    return found + [f"still runs after the end: {process}" for process in left_over]


def build(
    ledgers: Mapping[str, RequestLedger],
    samples: SampleLog,
    rested: SampleLog,
    left_over: Sequence[str],
    limits: Limits,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that was measured, as JSON values. ``rested`` are the samples at rest."""
    slope_rows = slopes(samples, rested, limits)
    return {
        "parameters": dict(parameters),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()},
        "limits": asdict(limits),
        "faults": find_faults(ledgers, slope_rows, left_over, limits),
        "slopes": slope_rows,
        "groups": {
            name: {
                "sent": sum(ledger.sent_by_method.values()),
                "outcomes": dict(ledger.outcomes),
                "methods": dict(ledger.sent_by_method.most_common()),
                "errors": dict(ledger.errors.most_common()),
                "unanswered": ledger.unanswered(),
                "late": ledger.late(),
                "latency": latency_rows(ledger.latencies_ms),
                "events": [asdict(event) for event in ledger.events],
            }
            for name, ledger in ledgers.items()
        },
        "processes": samples.as_json(),
        "rested": rested.as_json(),
    }


def print_summary(report: Mapping[str, Any], console: Console) -> None:
    requests = Table("windows", "requests", "results", "errors", "abandoned", "unanswered", "p50", "p99", "events")
    for name, group in report["groups"].items():
        outcomes, rows = group["outcomes"], group["latency"]
        errors = outcomes.get("error", 0)
        p50, p99 = (
            f"{statistics.median(row[key] for row in rows):.1f} ms" if rows else "" for key in ("p50_ms", "p99_ms")
        )
        requests.add_row(
            name, str(group["sent"]), str(outcomes.get("result", 0)), str(errors),
            str(outcomes.get("abandoned with its window", 0)), str(len(group["unanswered"])), p50, p99,
            str(len(group["events"])),
        )  # fmt: skip
    console.print(requests)
    memory = Table("process", "hours fitted", "at rest", "anonymous", "unique", "resident", "first", "last", "largest")
    for row in report["slopes"]:
        memory.add_row(
            f"{row['name']} ({row['process']})", f"{row['fitted_hours']:.2f}", _describe_rests(row),
            *(f"{row[f'{field}_mb_per_hour']:+.2f} MB/h" for field in ("anonymous", "unique", "resident")),
            *(f"{row[f'{key}_mb']:.1f} MB" for key in ("first", "last", "max")),
        )  # fmt: skip
    console.print(memory if report["slopes"] else "No process lived long enough for a slope.")
    for name, group in report["groups"].items():
        for kind in ("unanswered", "late"):
            for request in group[kind]:
                what = f"{name}: {kind} {request['method']} of {request['window']} at {request['sent_s']} s"
                console.print(f"{what}: {request['reason']}; {'; '.join(request['around'])}", markup=False)
    for fault in report["faults"]:
        console.print(f"✗ {fault}", markup=False)
    console.print("✗ failed" if report["faults"] else "✓ passed")


def _describe_rests(row: Mapping[str, Any]) -> str:
    if (at_rest := row["at_rest"]) is None:
        return "too few"
    return "{mb_per_hour:+.2f} ({low:+.2f} to {high:+.2f}) MB/h, {samples} samples".format(**at_rest)


def save(report: Mapping[str, Any], folder: Path) -> Path:
    """Write ``soak.json`` in ``folder`` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "soak.json"
    file.write_text(json.dumps(report), encoding="utf-8")
    return file
