"""How long until the server answers, and until its model does; against the model card's script doing the same work.

Each run is a fresh process. Peer: import transformers, load the checkpoint, generate one token.
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
PEER = f"""
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(BUNDLED)!r})
model = AutoModelForCausalLM.from_pretrained({str(BUNDLED)!r}, dtype="float32")
model.generate(**tokenizer("def f(x):", return_tensors="pt"), max_new_tokens=1, pad_token_id=0)
"""


async def started() -> tuple[float, float]:
    """Seconds from process start to the initialize reply, and to a model that is ready."""
    ready = asyncio.Event()

    def listen(method: str, params: object) -> None:
        if method == "starcoder/status" and isinstance(params, dict) and params["phase"] == "ready":
            ready.set()

    began = time.monotonic()
    command = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share"]
    async with client.start(command, stderr=subprocess.DEVNULL) as server:
        server.on_notification = listen
        await server.initialize(capabilities={"experimental": {"starcoderStatus": True}})
        replied = time.monotonic() - began
        await asyncio.wait_for(ready.wait(), 120)
        is_ready = time.monotonic() - began
        await server.shutdown()
    return replied, is_ready


def peer() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", PEER], check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    asyncio.run(started())
    pairs = [(asyncio.run(started()), peer()) for _ in range(RUNS)]
    table = Table("process start to", "median s", "min", "max")
    for name, values in (
        ("initialize reply", [pair[0][0] for pair in pairs]),
        ("model ready", [pair[0][1] for pair in pairs]),
        ("model card's script, one token", [pair[1] for pair in pairs]),
    ):
        table.add_row(name, f"{statistics.median(values):.2f}", f"{min(values):.2f}", f"{max(values):.2f}")
    Console().print(table)
    ratio = statistics.median(pair[0][1] / pair[1] for pair in pairs)
    print(f"ready / script: {ratio:.2f} (median of {RUNS} pairs)")


if __name__ == "__main__":
    main()
