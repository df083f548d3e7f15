"""benchmarks/gpu.py runs to its end without a GPU; the numbers that it measures there mean nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
PARTS = {
    "model", "graphs", "decode", "verify", "attention", "speculation", "editors", "adapters", "cancel", "generate",
}  # fmt: skip


def test_every_part_has_a_result_in_the_output_file(tmp_path: Path) -> None:
    into = tmp_path / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--shapes", "tiny", "--quick", "--into", str(into)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no result" not in done.stdout, done.stdout
    found = json.loads(into.read_text(encoding="utf-8"))
    parts = {name: part for name, part in found["tiny"].items() if name != "goals"}
    assert set(parts) == PARTS
    assert all(row for part in parts.values() for row in part["rows"])
    assert len(found["tiny"]["goals"]) == 5
    assert any(row[6] is True for row in parts["decode"]["rows"]), "some passes were replayed"


def test_failed_part_is_reported_and_the_others_run(tmp_path: Path) -> None:
    """The time limit is too short for every part."""
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--shapes", "tiny", "--part-minutes", "0.0001"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "memory, bandwidth: no result. TooLong" in done.stdout
    assert "tiny, model: no result. TooLong" in done.stdout
