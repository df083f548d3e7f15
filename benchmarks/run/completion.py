"""One suggestion of the bundled model: through the real server, and engine against transformers' own generate.

The engine part reads 512 fresh tokens and writes 12, greedy, float32, in turn with `model.generate` on the same ids.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM

import starcoder_ls
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.generation import Phase, Request, Timings
from starcoder_ls.lsp import client
from starcoder_ls.settings import Model

PROMPT_TOKENS, NEW_TOKENS, ROUNDS, CURSORS = 512, 12, 15, 60
BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"


def source(module: str) -> str:
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_text(encoding="utf-8")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def through_server(rng: random.Random) -> list[float]:
    """Milliseconds from request to answer at random cursors, each in a document the server has not seen."""
    texts = [source(name) for name in ("rich.table", "rich.console", "typer.main", "packaging.version")]
    ready = asyncio.Event()

    def listen(method: str, params: object) -> None:
        if method == "starcoder/status" and isinstance(params, dict) and params["phase"] == "ready":
            ready.set()

    times = []
    command = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share"]
    async with client.start(command, stderr=subprocess.DEVNULL) as server:
        server.on_notification = listen
        await server.initialize(capabilities={"experimental": {"starcoderStatus": True}})
        await asyncio.wait_for(ready.wait(), 120)
        for number in range(CURSORS):
            text = rng.choice(texts)
            lines = text.splitlines()
            line = rng.randrange(len(lines))
            uri = f"file:///{number}.py"
            server.open(uri, text)
            began = time.monotonic()
            await server.inline_completion(uri, line, rng.randint(0, len(lines[line])))
            times.append((time.monotonic() - began) * 1000)
        await server.shutdown()
    return times


def engine_ready() -> LocalEngine:
    engine = LocalEngine(Model())
    engine.start()
    while engine.status().phase is Phase.LOADING:
        time.sleep(0.02)
    return engine


async def by_engine(engine: LocalEngine, prompt: str) -> tuple[float, Timings]:
    began = time.monotonic()
    timings = Timings()
    async for chunk in engine.stream(Request((prompt,), max_new_tokens=NEW_TOKENS)):
        timings = chunk.timings or timings
    return (time.monotonic() - began) * 1000, timings


def by_generate(model: torch.nn.Module, length: int) -> float:
    ids = torch.randint(300, 4000, (1, length))
    began = time.monotonic()
    model.generate(ids, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)  # type: ignore[operator]
    return (time.monotonic() - began) * 1000


def main() -> None:
    console, rng = Console(), random.Random(0)
    times = asyncio.run(through_server(rng))
    console.print(
        f"request to answer through the server, {CURSORS} unseen documents, up to 1,024 tokens read: "
        f"p50 {percentile(times, 0.5):.0f} ms, p95 {percentile(times, 0.95):.0f} ms"
    )
    engine = engine_ready()
    model = AutoModelForCausalLM.from_pretrained(str(BUNDLED), dtype=torch.float32)
    text = source("rich.console")
    ours, peers, prefill, step = [], [], [], []
    for number in range(ROUNDS + 2):
        start = 1000 + number * 1700
        prompt = text[start : start + 1]
        while engine.count_tokens(prompt) < PROMPT_TOKENS:
            prompt = text[start : start + len(prompt) + 16]
        total_ms, timings = asyncio.run(by_engine(engine, prompt))
        peer_ms = by_generate(model, timings.prompt_tokens)
        if number >= 2 and timings.decode_steps:  # the first two warm both up
            ours.append(total_ms / (timings.decode_steps + timings.accepted_tokens + 1))
            peers.append(peer_ms / NEW_TOKENS)
            prefill.append(timings.prefill_ms)
            step.append(timings.ms_per_token)
    engine.close()
    table = Table("512 tokens read, 12 written", "median")
    table.add_row("prefill, ms", f"{statistics.median(prefill):.0f}")
    table.add_row("decode, ms per token", f"{statistics.median(step):.2f}")
    table.add_row("whole suggestion of 12, ms", f"{statistics.median(prefill) + 11 * statistics.median(step):.0f}")
    table.add_row("transformers generate, ms for 12", f"{statistics.median(peers) * NEW_TOKENS:.0f}")
    console.print(table)
    ratio = statistics.median(theirs / mine for mine, theirs in zip(ours, peers, strict=True))
    console.print(f"generate / ours, per token: {ratio:.2f} (median of {len(ours)} pairs)")


if __name__ == "__main__":
    main()
