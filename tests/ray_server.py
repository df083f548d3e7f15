"""The application of deploy/ray on a real Ray Serve, for the slow lane. RAY_SERVE_COMMAND is the path of ``serve``.

Its environment has deploy/ray/requirements.txt and the packages of this program; the program itself is that of this
tree.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from fake_vllm import TOKEN

COMMAND = os.environ.get("RAY_SERVE_COMMAND", "")
START_TIMEOUT_S = 600
URL = "http://127.0.0.1:8000"
needs_ray = pytest.mark.skipif(not COMMAND, reason="RAY_SERVE_COMMAND does not name Ray's serve program (493 MB)")
ROOT = Path(__file__).parents[1]


@contextmanager
def running_ray(folder: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """The process of ``serve run``, whose replicas are ready. ``options`` are those of the application.

    Raises RuntimeError if it does not start.
    """
    token_file, settings_file, log = folder / "token", folder / "settings.toml", folder / "log"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    settings_file.write_text("[model]\nthreads = 1\n")
    arguments = {"token_file": token_file, "settings_file": settings_file, "cpus": 0.5} | options
    command = [COMMAND, "run", "ray_app:build", *(f"{name}={value}" for name, value in arguments.items())]
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'server'}{os.pathsep}{ROOT / 'deploy' / 'ray'}", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        _wait_until_healthy(process, log)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_TIMEOUT_S)


def _wait_until_healthy(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            if httpx2.get(f"{URL}/health", trust_env=False).status_code == httpx2.codes.OK:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"Ray Serve did not start; the end of its output:\n{log.read_text(errors='replace')[-3000:]}")


def replica_processes() -> list[int]:
    """The processes of all replicas on this machine, as Ray names them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::ServeReplica:"):
                found.append(int(folder.name))
    return found
