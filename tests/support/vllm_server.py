"""A real vLLM server with the bundled model, for the slow lane. VLLM_COMMAND is the path of ``vllm``.

vLLM's own processes are those of a group of their own: when its API server is killed, others stay with their memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from fake_vllm import TOKEN
from lib.fake_replica import free_port
from lib.started_server import wait_until_healthy

COMMAND = os.environ.get("VLLM_COMMAND", "")
START_TIMEOUT_S = 900
needs_vllm = pytest.mark.skipif(not COMMAND, reason="VLLM_COMMAND does not name a vllm program (3.5 GB, minutes)")

_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_TARGET_DEVICE": "cpu", "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip


@contextmanager
def running_vllm(model: Path, name: str, log: Path, adapters: Mapping[str, Path]) -> Iterator[str]:
    """The URL of a server with ``model`` under ``name``. Its output is in ``log``; it is ended with all its processes.

    Raises RuntimeError if it does not start.
    """
    port = free_port()
    command = [
        COMMAND, "serve", str(model), "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port),
        "--api-key", TOKEN, "--enforce-eager", "--dtype", "float32", "--max-num-seqs", "8", "--enable-prefix-caching",
        "--enable-prompt-tokens-details", "--generation-config", "vllm",
    ]  # fmt: skip
    if adapters:
        command += ["--enable-lora", "--lora-modules", *(f"{adapter}={path}" for adapter, path in adapters.items())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env=os.environ | _ENVIRONMENT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(url, process, log, START_TIMEOUT_S)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
