"""Whole models beside llama.cpp, each program in its own process: a decode step after 300 tokens, and 300 tokens read.

    python benchmarks/run/beside_llama_cpp.py PAIR... [--threads 2] [--rounds 7]

A PAIR is FOLDER[:QUANTIZATION]=FILE.gguf: a checkpoint as `model.name` and `model.quantization` name it, and the same
weights for llama.cpp. The programs take turns in random order. Prints medians: milliseconds by the clock, and of CPU
time. Needs the `xllamacpp` wheel; with another environment for it, `--llama-python PYTHON`. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

from lib.cpu_time import Cost, CostTimer

PROMPT_TOKENS, NEW_TOKENS, READS, CHUNK_TOKENS = 300, 12, 2, 128
CONTEXT_TOKENS = 2048
FIRST_ORDINARY_ID, LAST_ID = 300, 8_000
TASKS = ("step", "read")
OURS, LLAMA = "--serve", "--serve-llama"
"""The first argument of the process of a program."""


def serve_ours(folder: str, quantization: str, threads: int) -> None:
    """Answer measurements of our engine on stdin until it ends."""
    import torch

    from starcoder_ls.engine.assembly import load
    from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
    from starcoder_ls.engine.kv_cache.cache import KvCache
    from starcoder_ls.engine.loading.progress import ignore_progress
    from starcoder_ls.settings import Model

    torch.set_num_threads(threads)
    model = Model.model_validate({"name": folder, "device": "cpu", "quantization": quantization})
    runner = load(model, ignore_progress).runner
    runner.threads = threads
    cache = KvCache(runner.layers, PROMPT_TOKENS + NEW_TOKENS + 1)

    def read(ids: Sequence[int], chunk: int) -> None:
        cache.truncate(0)
        for start in range(0, len(ids), chunk):
            is_last = start + chunk >= len(ids)
            requested = LogitsFor.LAST if is_last else LogitsFor.NONE
            runner.run(ForwardPass([list(ids[start : start + chunk])], cache, requested))

    def step(ids: Sequence[int]) -> Cost:
        if cache.length < len(ids):
            read(ids, CHUNK_TOKENS)
        cache.truncate(len(ids))
        token = ids[-1]
        timer = CostTimer.start()
        for _ in range(NEW_TOKENS):
            token = int(runner.run(ForwardPass([[token]], cache)).values[-1].argmax())
        return timer.cost_per_token(NEW_TOKENS)

    def time_reading(ids: Sequence[int]) -> Cost:
        timer = CostTimer.start()
        read(ids, runner.chunk_tokens)
        return timer.cost_per_token(1)

    _answer({"step": step, "read": time_reading})


def serve_llama(file: str, threads: int) -> None:
    """Answer measurements of llama.cpp on stdin until it ends. A step is what its own timer says."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.verbosity = file, CONTEXT_TOKENS, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server: Any = xllamacpp.Server(params)

    def complete(ids: Sequence[int], count: int, is_cached: bool) -> Any:
        greedy = {"temperature": 0.0, "samplers": ["top_k"], "top_k": 1, "ignore_eos": True}
        return server.handle_completions({"prompt": list(ids), "n_predict": count, "cache_prompt": is_cached, **greedy})

    def step(ids: Sequence[int]) -> Cost:
        complete(ids, 1, True)
        timer = CostTimer.start()
        answer = complete(ids, NEW_TOKENS, True)
        return Cost(answer["timings"]["predicted_per_token_ms"], timer.cost_per_token(NEW_TOKENS).cpu_ms)

    def time_reading(ids: Sequence[int]) -> Cost:
        timer = CostTimer.start()
        complete(ids, 1, False)
        return timer.cost_per_token(1)

    _answer({"step": step, "read": time_reading})


def _answer(measurements: dict[str, Callable[[Sequence[int]], Cost]]) -> None:
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(asdict(measurements[question["task"]](question["ids"]))), flush=True)


class Program:
    """One of the two programs of a pair, as a process that measures itself on request."""

    def __init__(self, python: str, arguments: Sequence[str], stack: ExitStack) -> None:
        command = [python, __file__, *arguments]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        self._process = stack.enter_context(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
        )
        self.costs: dict[str, list[Cost]] = defaultdict(list)

    def wait_until_ready(self) -> None:
        self._read_line()

    def measure(self, task: str, ids: Sequence[int], is_counted: bool) -> None:
        assert self._process.stdin is not None
        print(json.dumps({"task": task, "ids": list(ids)}), file=self._process.stdin, flush=True)
        cost = Cost(**json.loads(self._read_line()))
        if is_counted:
            self.costs[task].append(cost)

    def median(self, task: str) -> Cost:
        costs = self.costs[task]
        return Cost(statistics.median(cost.wall_ms for cost in costs), statistics.median(cost.cpu_ms for cost in costs))

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            raise SystemExit(f"{' '.join(map(str, self._process.args[1:]))} has ended: run it alone to see why")
        return line


def compare(pair: str, threads: int, rounds: int, llama_python: str) -> None:
    """Measure one pair and print its rows."""
    checkpoint, _, file = pair.partition("=")
    folder, _, quantization = checkpoint.partition(":")
    rng = random.Random(1)
    ids = [rng.randrange(FIRST_ORDINARY_ID, LAST_ID) for _ in range(PROMPT_TOKENS)]
    with ExitStack() as stack:
        ours = Program(sys.executable, [OURS, folder, quantization or "none", str(threads)], stack)
        ours.wait_until_ready()
        llama = Program(llama_python, [LLAMA, file, str(threads)], stack)
        llama.wait_until_ready()
        programs = [ours, llama]
        for number in range(rounds + 1):  # the first one warms up
            rng.shuffle(programs)
            for task in TASKS if number <= READS else TASKS[:1]:
                for program in programs:
                    program.measure(task, ids, is_counted=number > 0)
        for task in TASKS:
            own, peer = ours.median(task), llama.median(task)
            print(
                f"{pair}  {task}: ours {own.wall_ms:.2f} ms (CPU {own.cpu_ms:.2f}), "
                f"llama.cpp {peer.wall_ms:.2f} ms (CPU {peer.cpu_ms:.2f}), ratio {own.wall_ms / peer.wall_ms:.2f}",
                flush=True,
            )


def main() -> None:
    if sys.argv[1:2] == [OURS]:
        serve_ours(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif sys.argv[1:2] == [LLAMA]:
        serve_llama(sys.argv[2], int(sys.argv[3]))
    else:
        compare_pairs()


def compare_pairs() -> None:
    """Compare the pairs of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="PAIR")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--llama-python", default=sys.executable)
    options = parser.parse_args()
    print(time.strftime("%Y-%m-%d %H:%M"), "load", *(f"{load:.1f}" for load in os.getloadavg()))
    for pair in options.pairs:
        compare(pair, options.threads, options.rounds, options.llama_python)


if __name__ == "__main__":
    main()
