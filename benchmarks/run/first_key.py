"""The first key in a new window: processor time of reading a prompt, by the size of the chunks, beside a llama-server;
and the longest time without a pause, for which a key in another window waits.

Processor time, because elapsed time on a busy machine says little; both programs should use one thread.

    python benchmarks/run/first_key.py [CHECKPOINT] [--tokens 1000] [--llama URL --llama-process ID]

Without CHECKPOINT the bundled model is read. The llama-server must run the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
import urllib.request
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

from lib.cpu_time import cpu_ms
from starcoder_ls.engine import assembly
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.settings import Model

CHUNK_TOKENS = (32, 64, 128, 256, 512)
FIRST_ID, END_ID = 100, 8000
"""The prompts are random ids in this range, so that nothing of one is cached for the next."""


def random_prompt(tokens: int) -> list[int]:
    return [random.randrange(FIRST_ID, END_ID) for _ in range(tokens)]


def read(runner: ModelRunner, ids: list[int], chunk_tokens: int) -> tuple[float, float]:
    """Milliseconds of processor time to the logits after ``ids``, and the most without a pause."""
    cache, times_s = KvCache(runner.layers, len(ids) + 1), [time.process_time()]

    def pause() -> None:
        times_s.append(time.process_time())

    for start in range(0, len(ids), chunk_tokens):
        is_last = start + chunk_tokens >= len(ids)
        chunk = ids[start : start + chunk_tokens]
        runner.run(ForwardPass([chunk], cache, LogitsFor.LAST if is_last else LogitsFor.NONE), None, pause)
        pause()
    return (times_s[-1] - times_s[0]) * 1000, max(after - before for before, after in pairwise(times_s)) * 1000


def read_by_llama(url: str, process: int, ids: list[int]) -> float:
    """Milliseconds of processor time of a llama-server to its first token after ``ids``."""
    body = json.dumps({"prompt": ids, "n_predict": 1, "cache_prompt": False, "temperature": 0.0}).encode()
    request = urllib.request.Request(url + "/completion", body, {"Content-Type": "application/json"})
    started_ms = cpu_ms(process)
    with urllib.request.urlopen(request, timeout=600) as answer:
        answer.read()
    return cpu_ms(process) - started_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default=Model().name)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama", default="", help="URL of a llama-server with the same weights")
    parser.add_argument("--llama-process", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runner = assembly.load(Model(name=options.checkpoint, device="cpu", threads=1), lambda *_: None).runner
    measured: dict[str, list[float]] = {}
    unpaused: dict[str, list[float]] = {}
    for _ in range(options.rounds):  # the contestants in turn
        for chunk_tokens in CHUNK_TOKENS:
            took_ms, unpaused_ms = read(runner, random_prompt(options.tokens), chunk_tokens)
            name = f"ours, chunks of {chunk_tokens}"
            measured.setdefault(name, []).append(took_ms)
            unpaused.setdefault(name, []).append(unpaused_ms)
        if options.llama:
            took_ms = read_by_llama(options.llama, options.llama_process, random_prompt(options.tokens))
            measured.setdefault("llama-server", []).append(took_ms)
    table = Table(f"{options.tokens} tokens read", "processor time, best ms", "without a pause, median ms")
    for name, times in measured.items():
        table.add_row(name, f"{min(times):.0f}", f"{statistics.median(unpaused[name]):.0f}" if name in unpaused else "")
    console = Console()
    console.print(table)
    console.print(f"chunks that the engine chose: {runner.chunk_tokens} tokens")


if __name__ == "__main__":
    main()
