"""A runtime folder for tests with window processes and daemons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from windows import daemons


@pytest.fixture
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the sockets of this test. Daemons that still run are killed after the test."""
    folder = tmp_path / "run"
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(folder))
    monkeypatch.setenv("FAKE_IDLE_S", "600")
    yield folder
    for process in daemons(folder):
        process.kill()
