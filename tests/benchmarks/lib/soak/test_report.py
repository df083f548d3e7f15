"""The verdict about a soak run."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lib.soak import report
from lib.soak.process_samples import Sample, SampleLog
from lib.soak.report import Limits
from lib.soak.request_ledger import RequestLedger


def samples_that_grow(mb_per_hour: float, interval_s: int = 10) -> SampleLog:
    log = SampleLog()
    for time_s in range(0, 7200, interval_s):
        size = int(500e6 + mb_per_hour * 1e6 * time_s / 3600)
        log.by_process["steady daemon", 7].append(Sample(float(time_s), size, size, size, 13, 11))
    return log


def build(
    ledger: RequestLedger,
    mb_per_hour: float = 0.0,
    left_over: tuple[str, ...] = (),
    rested: SampleLog | None = None,
) -> dict[str, Any]:
    samples = samples_that_grow(mb_per_hour)
    return report.build({"steady": ledger}, samples, rested or SampleLog(), left_over, Limits(), {"seed": 1})


def test_run_without_faults_passes(tmp_path: Path) -> None:
    ledger, output = RequestLedger(), StringIO()
    ledger.record_answered(ledger.record_sent("w", "textDocument/inlineCompletion"))
    result = build(ledger, mb_per_hour=4.9)
    assert result["faults"] == []
    assert json.loads(report.save(result, tmp_path / "new").read_text(encoding="utf-8"))["parameters"] == {"seed": 1}
    report.print_summary(result, Console(file=output, width=200))
    assert "+4.90 MB/h" in output.getvalue()
    assert "passed" in output.getvalue()


def test_growth_at_the_limit_is_a_fault() -> None:
    (fault,) = build(RequestLedger(), mb_per_hour=5.1)["faults"]
    assert fault == "steady daemon (process 7) grows by 5.1 MB/h"


def test_growth_at_rest_decides_if_there_are_enough_rests() -> None:
    rested, output = samples_that_grow(5.2, interval_s=300), StringIO()
    result = build(RequestLedger(), mb_per_hour=-3.0, rested=rested)
    assert result["faults"] == ["steady daemon (process 7) grows by 5.2 MB/h"]
    report.print_summary(result, Console(file=output, width=250))
    assert "+5.20 (+5.20 to +5.20) MB/h, 20 samples" in output.getvalue()
    assert build(RequestLedger(), mb_per_hour=9.0, rested=samples_that_grow(1.0, interval_s=300))["faults"] == []
    few = samples_that_grow(1.0, interval_s=1800)
    assert build(RequestLedger(), mb_per_hour=9.0, rested=few)["faults"] != []


def test_unanswered_request_failure_and_left_process_are_faults() -> None:
    ledger, output = RequestLedger(), StringIO()
    ledger.record_sent("w", "starcoder/status")
    ledger.record_failure("w", "ended by itself with exit code 1")
    ledger.close()
    result = build(ledger, left_over=("process 9: serve",))
    assert len(result["faults"]) == 3
    report.print_summary(result, Console(file=output, width=400))
    assert "unanswered starcoder/status of w" in output.getvalue()


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert report.percentile(range(1, 101), percent) == expected
