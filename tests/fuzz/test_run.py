from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import registry, run


def test_totals_add_up_over_runs_of_different_harnesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CACHE", tmp_path)
    first, second, *others = registry.HARNESSES
    assert run.count_all(first, 1_000) == 1_000
    assert run.count_all(second, 7) == 7
    assert run.count_all(first, 234) == 1_234  # a later run of one harness
    assert run.read_totals() == {first: 1_234, second: 7}
    report = run.report_totals()
    assert f"| {first} | 1,234 |" in report
    assert f"| {second} | 7 |" in report
    assert all(f"| {name} | 0 |" in report for name in others)
    assert [path.name for path in tmp_path.iterdir()] == ["totals.json"]
