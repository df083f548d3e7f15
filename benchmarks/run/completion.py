"""Times one suggestion of the bundled model: through the real server, and the engine against transformers' generate.

The engine reads 512 new tokens and generates 12, greedy, in float32, alternating with `model.generate` on as many.

    python benchmarks/run/completion.py
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

PROMPT_TOKENS, NEW_TOKENS, REPETITIONS, WARM_UPS, CURSORS = 512, 12, 15, 2, 60
BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"


def module_source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def time_server(rng: random.Random) -> list[float]:
    """Milliseconds from request to answer at random cursors, each in a document that the server has not read yet."""
    texts = [module_source(name) for name in ("rich.table", "rich.console", "typer.main", "packaging.version")]
    ready = asyncio.Event()

    def on_notification(method: str, params: object) -> None:
        if method == "starcoder/status" and isinstance(params, dict) and params["phase"] == "ready":
            ready.set()

    times_ms = []
    command = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share"]
    async with client.start(command, stderr=subprocess.DEVNULL) as server:
        server.on_notification = on_notification
        await server.initialize(capabilities={"experimental": {"starcoderStatus": True}})
        await asyncio.wait_for(ready.wait(), 120)
        for number in range(CURSORS):
            text = rng.choice(texts)
            lines = text.splitlines()
            line = rng.randrange(len(lines))
            uri = f"file:///{number}.py"
            server.open(uri, text)
            started_s = time.monotonic()
            await server.inline_completion(uri, line, rng.randint(0, len(lines[line])))
            times_ms.append((time.monotonic() - started_s) * 1000)
        await server.shutdown()
    return times_ms


def start_engine() -> LocalEngine:
    engine = LocalEngine(Model())
    engine.start()
    while engine.status().phase is Phase.LOADING:
        time.sleep(0.02)
    return engine


async def time_engine(engine: LocalEngine, prompt: str) -> tuple[float, Timings]:
    started_s = time.monotonic()
    timings = Timings()
    async for chunk in engine.stream(Request((prompt,), max_new_tokens=NEW_TOKENS)):
        timings = chunk.timings or timings
    return (time.monotonic() - started_s) * 1000, timings


def time_generate(model: torch.nn.Module, length: int) -> float:
    ids = torch.randint(300, 4000, (1, length))
    started_s = time.monotonic()
    model.generate(ids, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)  # type: ignore[operator]
    return (time.monotonic() - started_s) * 1000


def main() -> None:
    console, rng = Console(), random.Random(0)
    times_ms = asyncio.run(time_server(rng))
    console.print(
        f"request to answer through the server, {CURSORS} new documents, up to 1,024 tokens read: "
        f"p50 {percentile(times_ms, 0.5):.0f} ms, p95 {percentile(times_ms, 0.95):.0f} ms"
    )
    engine = start_engine()
    model = AutoModelForCausalLM.from_pretrained(str(BUNDLED), dtype=torch.float32)
    text = module_source("rich.console")
    engine_ms, generate_ms, prefill_ms, step_ms = [], [], [], []  # the first two per token
    for number in range(WARM_UPS + REPETITIONS):
        start = 1000 + number * 1700
        prompt = text[start : start + 1]
        while engine.count_tokens(prompt) < PROMPT_TOKENS:
            prompt = text[start : start + len(prompt) + 16]
        total_ms, timings = asyncio.run(time_engine(engine, prompt))
        transformers_ms = time_generate(model, timings.prompt_tokens)
        if number >= WARM_UPS and timings.decode_steps:
            engine_ms.append(total_ms / (timings.decode_steps + timings.accepted_tokens + 1))
            generate_ms.append(transformers_ms / NEW_TOKENS)
            prefill_ms.append(timings.prefill_ms)
            step_ms.append(timings.ms_per_token)
    engine.close()
    table = Table("512 tokens read, 12 generated", "median")
    table.add_row("prefill, ms", f"{statistics.median(prefill_ms):.0f}")
    table.add_row("decode, ms per token", f"{statistics.median(step_ms):.2f}")
    table.add_row(
        "whole suggestion of 12, ms", f"{statistics.median(prefill_ms) + 11 * statistics.median(step_ms):.0f}"
    )
    table.add_row("transformers generate, ms for 12", f"{statistics.median(generate_ms) * NEW_TOKENS:.0f}")
    console.print(table)
    ratio = statistics.median(theirs / ours for ours, theirs in zip(engine_ms, generate_ms, strict=True))
    console.print(f"generate / engine, per token: {ratio:.2f} (median of {len(engine_ms)} pairs)")


if __name__ == "__main__":
    main()
