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


def samples_that_grow(mb_per_hour: float) -> SampleLog:
    log = SampleLog()
    for number in range(720):
        size = int(500e6 + mb_per_hour * 1e6 * number * 10 / 3600)
        log.by_process["steady daemon", 7].append(Sample(number * 10.0, size, size, size, 13, 11))
    return log


def build(ledger: RequestLedger, mb_per_hour: float = 0.0, left_over: tuple[str, ...] = ()) -> dict[str, Any]:
    return report.build({"steady": ledger}, samples_that_grow(mb_per_hour), left_over, Limits(), {"seed": 1})


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
