"""A real llama.cpp server in a process of its own: ``python llama_server.py MODEL.gguf PORT TOKEN [LORA.gguf...]``.

It prints "ready" when it listens. The wheel ``xllamacpp`` has the server's own routes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTEXT_TOKENS, SLOTS = 2048, 4


def serve(model: str, port: int, token: str, adapters: list[str]) -> None:
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path, options.port, options.api_keys = model, port, [token]
    options.model_alias = {"bundled"}
    options.endpoint_slots = options.endpoint_metrics = True
    options.n_ctx, options.n_parallel, options.n_batch, options.warmup = CONTEXT_TOKENS * SLOTS, SLOTS, 256, False
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = 1  # two threads of a busy machine spin
    if adapters:
        options.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 0.0) for adapter in adapters]
    server = xllamacpp.Server(options)
    sys.stdout.write(f"ready {server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


@contextmanager
def running_llama_server(
    model: Path, token: str, port: int = 0, adapters: tuple[Path, ...] = ()
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL of a server with ``model``, and its process. Raises RuntimeError if it does not start."""
    command = [sys.executable, __file__, str(model), str(port), token, *map(str, adapters)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if line.startswith("ready ")), "")
        if not line:
            raise RuntimeError(f"llama.cpp's server ended with exit code {process.wait()}")
        yield line.split()[1], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:])
