from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from starcoder_ls.commands.support import machine
from starcoder_ls.commands.support.machine import inspect_machine


def test_machine_without_a_gpu_has_memory_disk_and_bandwidth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: False)
    found = inspect_machine(tmp_path / "not" / "there" / "yet")
    assert found.device == "cpu"
    assert 0 < found.free_bytes < psutil.virtual_memory().total
    assert abs(found.free_disk_bytes - shutil.disk_usage(tmp_path).free) < 1e10
    assert 1e8 < found.bandwidth < 1e13


def test_torch_is_imported_only_where_there_may_be_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_GPU_DEVICES", (str(tmp_path / "nvidia0"),))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not machine._may_have_gpu()
    (tmp_path / "nvidia0").touch()
    assert machine._may_have_gpu()
