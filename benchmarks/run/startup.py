"""The time until the server responds, and until its model is ready, beside the model card's script for the same work.

Each run is a new process. The script imports transformers, loads the checkpoint and generates one token.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import starcoder_ls
from starcoder_ls.lsp import client

RUNS = 5
BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
SERVE_COMMAND = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share"]
MODEL_CARD_SCRIPT = f"""
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(BUNDLED)!r})
model = AutoModelForCausalLM.from_pretrained({str(BUNDLED)!r}, dtype="float32")
model.generate(**tokenizer("def f(x):", return_tensors="pt"), max_new_tokens=1, pad_token_id=0)
"""


async def measure_server_s() -> tuple[float, float]:
    """Seconds from the start of the process to the response to ``initialize``, and until the model is ready."""
    is_ready = asyncio.Event()

    def on_notification(method: str, params: object) -> None:
        if method == "starcoder/status" and isinstance(params, dict) and params["phase"] == "ready":
            is_ready.set()

    started_s = time.monotonic()
    async with client.start(SERVE_COMMAND, stderr=subprocess.DEVNULL) as server:
        server.on_notification = on_notification
        await server.initialize(capabilities={"experimental": {"starcoderStatus": True}})
        initialize_s = time.monotonic() - started_s
        await asyncio.wait_for(is_ready.wait(), 120)
        ready_s = time.monotonic() - started_s
        await server.shutdown()
    return initialize_s, ready_s


def measure_script_s() -> float:
    started_s = time.monotonic()
    subprocess.run([sys.executable, "-c", MODEL_CARD_SCRIPT], check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - started_s


def main() -> None:
    asyncio.run(measure_server_s())  # fills the caches
    runs = [(*asyncio.run(measure_server_s()), measure_script_s()) for _ in range(RUNS)]
    table = Table("process start to", "median s", "min", "max")
    for column, label in enumerate(("initialize reply", "model ready", "model card's script, one token")):
        seconds = [run[column] for run in runs]
        table.add_row(label, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f}", f"{max(seconds):.2f}")
    Console().print(table)
    ratio = statistics.median(ready_s / script_s for _, ready_s, script_s in runs)
    print(f"ready / script: {ratio:.2f} (median of {RUNS} pairs)")


if __name__ == "__main__":
    main()
