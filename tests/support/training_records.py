"""The record of a finished training, as training.json has it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version, write_json

TRAINING: dict[str, Any] = {
    "name": "own", "made": "2026-11-28T21:00:00+00:00", "base": "bundled", "fingerprint": "f00d", "method": "lora",
    "is_checkpoint": False, "rank": 16, "device": "cpu", "folders": ["shop"],
    "files": {"training": 8, "validation": 1, "held out": 1}, "left_out": {"generated": 2},
    "licences": {"none stated": 7, "MIT": 1}, "tokens": 12_000, "trained_tokens": 24_000, "steps": 20,
    "planned_steps": 24, "seconds": 90.0, "learning_rate": 4e-3, "best_validation_loss": 2.5,
    "held_out_loss": {"base": {"loss": 2.7, "middle_loss": 3.0}, "adapted": {"loss": 2.4, "middle_loss": 2.8}},
    "training_files": [], "held_out_files": [],
}  # fmt: skip


def add_version(root: Path, **changes: Any) -> Version:
    """A version of the adapter "own" with a record, and without weights."""
    versions = AdapterVersions("own", root)
    with versions.new_version(datetime(2026, 11, 28, tzinfo=UTC)) as folder:
        write_json(folder / "training.json", TRAINING | changes)
    return versions.find()
