"""Waits until a server that was started as a process answers."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx2

_POLL_S = 0.5


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    """Until ``url``/health answers. ``log`` has the output of ``process``.

    Raises RuntimeError with its end if the process ends, or does not answer within ``timeout_s`` seconds.
    """
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            if httpx2.get(f"{url}/health", trust_env=False).status_code == httpx2.codes.OK:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(_POLL_S)
    end = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"The server at {url} did not start (exit code {process.poll()}); the end of its output:\n{end}")
