from __future__ import annotations

import multiprocessing
import socket
import time
from pathlib import Path

import pytest

from starcoder_ls.daemon import runtime_dir
from starcoder_ls.errors import DaemonError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / "run"))
    return tmp_path / "run"


def test_the_folder_is_this_user_s_alone(runtime: Path) -> None:
    assert runtime_dir.runtime_dir() == runtime
    assert runtime.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_read_is_refused(runtime: Path) -> None:
    runtime.mkdir(mode=0o755)
    with pytest.raises(DaemonError, match="yours alone"):
        runtime_dir.runtime_dir()


def test_a_link_in_place_of_the_folder_is_refused(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DaemonError, match="yours alone"):
        runtime_dir.runtime_dir()


def test_windows_share_where_program_model_and_surroundings_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one = runtime_dir.key(["a"], {"name": "m", "device": "cpu"})
    assert one == runtime_dir.key(["a"], {"device": "cpu", "name": "m"})
    assert one != runtime_dir.key(["a"], {"name": "n", "device": "cpu"})
    assert one != runtime_dir.key(["b"], {"name": "m", "device": "cpu"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert one != runtime_dir.key(["a"], {"name": "m", "device": "cpu"})


def test_a_path_too_long_for_a_socket_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / ("long" * 30)))
    with pytest.raises(DaemonError, match="STARCODER_LS_RUNTIME"):
        runtime_dir.socket_path("x")


def test_nobody_behind_a_path_is_none() -> None:
    path = runtime_dir.socket_path("x")
    assert runtime_dir.connected(path) is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert runtime_dir.connected(path) is None


def test_the_peer_is_this_user() -> None:
    one, other = socket.socketpair()
    with one, other:
        runtime_dir.check_peer(one)


def _hold(path: str, order: multiprocessing.Queue[str]) -> None:
    with runtime_dir.locked(Path(path)):
        order.put("in")
        time.sleep(0.02)
        order.put("out")


def test_the_lock_is_one_process_s_at_a_time_and_leaves_no_file(runtime: Path) -> None:
    path = runtime_dir.socket_path("x")
    spawning = multiprocessing.get_context("spawn")
    order = spawning.Queue()
    processes = [spawning.Process(target=_hold, args=(str(path), order)) for _ in range(4)]
    for process in processes:
        process.start()
    said = [order.get(timeout=20) for _ in range(8)]
    for process in processes:
        process.join(10)
    order.close()
    order.join_thread()
    assert said == ["in", "out"] * 4
    assert list(runtime.iterdir()) == []
