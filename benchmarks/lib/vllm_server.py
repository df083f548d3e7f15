"""A real vLLM server on this machine.

vLLM's own processes are those of a group of their own: when its API server is killed, others stay with their memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lib.fake_replica import free_port
from lib.started_server import wait_until_healthy

START_TIMEOUT_S = 900
_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_TARGET_DEVICE": "cpu", "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "VLLM_NO_USAGE_STATS": "1",
}  # fmt: skip


@contextmanager
def running_vllm(
    program: str, model: Path, name: str, log: Path, token: str, adapters: Mapping[str, Path], port: int = 0
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a server with ``model`` under ``name``, and the first process of its group.

    ``program`` is the path of ``vllm``. Its output is in ``log``; it is ended with all its processes. Raises
    RuntimeError if it does not start.
    """
    port = port or free_port()
    command = [
        program, "serve", str(model), "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port),
        "--api-key", token, "--enforce-eager", "--dtype", "float32", "--max-num-seqs", "8", "--enable-prefix-caching",
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
        yield url, process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a server with all its processes, as `kill -9` does. Idempotent."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
