from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from starcoder_ls.daemon import runtime_dir
from starcoder_ls.errors import DaemonError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / "run"))
    return tmp_path / "run"


def test_directory_is_private_to_the_user(runtime: Path) -> None:
    assert runtime_dir.runtime_dir() == runtime
    assert runtime.stat().st_mode & 0o777 == 0o700


def test_directory_that_others_can_read_is_rejected(runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    with pytest.raises(DaemonError, match="this user alone"):
        runtime_dir.runtime_dir()


def test_link_instead_of_the_directory_is_rejected(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DaemonError, match="this user alone"):
        runtime_dir.runtime_dir()


def test_key_depends_on_command_model_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    key = runtime_dir.daemon_key(["a"], {"name": "m", "device": "cpu"})
    assert key == runtime_dir.daemon_key(["a"], {"device": "cpu", "name": "m"})
    assert key != runtime_dir.daemon_key(["a"], {"name": "n", "device": "cpu"})
    assert key != runtime_dir.daemon_key(["b"], {"name": "m", "device": "cpu"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert key != runtime_dir.daemon_key(["a"], {"name": "m", "device": "cpu"})


def test_path_too_long_for_a_socket_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / ("long" * 30)))
    with pytest.raises(DaemonError, match="STARCODER_LS_RUNTIME"):
        runtime_dir.socket_path("x")


def test_connect_returns_none_without_a_listening_process() -> None:
    path = runtime_dir.socket_path("x")
    assert runtime_dir.connect(path) is None
    with socket.socket(socket.AF_UNIX) as unused:
        unused.bind(str(path))
    assert runtime_dir.connect(path) is None


def test_peer_of_the_same_user_is_accepted() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        runtime_dir.check_peer(ours)


CRITICAL_SECTIONS = 50


def enter_critical_sections(path: Path, start: Barrier) -> None:
    """Fails if another process is in the critical section at the same time."""
    marker = path.with_suffix(".marker")
    start.wait()
    for _ in range(CRITICAL_SECTIONS):
        with runtime_dir.lock(path):
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            os.sched_yield()
            os.unlink(marker)


def test_lock_admits_one_process_at_a_time_and_removes_its_file(runtime: Path) -> None:
    path = runtime_dir.socket_path("x")
    spawning = multiprocessing.get_context("spawn")
    start = spawning.Barrier(4)
    processes = [spawning.Process(target=enter_critical_sections, args=(path, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert list(runtime.iterdir()) == []
