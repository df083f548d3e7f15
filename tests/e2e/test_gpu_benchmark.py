"""benchmarks/gpu runs to its end without a GPU: its results mean nothing then, but the script is known to work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "run.py"
PARTS = {
    "model", "graphs", "decode", "verify", "attention", "speculation", "editors", "adapters", "cancel", "generate",
}  # fmt: skip
REPLAYED_COLUMN = 6


def run_benchmark(folder: Path, *options: str) -> str:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--shapes", "tiny", *options]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert completed.returncode == 0, completed.stderr[-2000:]
    return completed.stdout


def test_gpu_benchmark_saves_a_result_of_every_part(tmp_path: Path) -> None:
    into = tmp_path / "gpu.json"
    output = run_benchmark(tmp_path, "--quick", "--into", str(into), "--minutes", "60", "--part-minutes", "30")
    assert "no result" not in output, output
    results = json.loads(into.read_text(encoding="utf-8"))
    parts = {name: part for name, part in results["tiny"].items() if name != "goals"}
    assert set(parts) == PARTS
    assert all(row for part in parts.values() for row in part["rows"])
    assert len(results["tiny"]["goals"]) == 5
    assert any(row[REPLAYED_COLUMN] is True for row in parts["decode"]["rows"]), "some passes were replayed"


def test_gpu_benchmark_reports_parts_without_time_and_continues(tmp_path: Path) -> None:
    output = run_benchmark(tmp_path, "--part-minutes", "0.0001")
    assert "memory, bandwidth: no result. PartTimeout" in output
    assert "tiny, model: no result. PartTimeout" in output
