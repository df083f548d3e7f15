"""1, 4 and 16 users who type on one engine: the gain of sharing forward passes, and the fairness between users.

Each user types into a different file and requests a suggestion at every key, as soon as the previous one is answered;
suggestions are not cached. "serial" is the same engine without shared passes. The two alternate in one process; the
ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import math
import os
import random
import statistics
import sys
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib and peers

from lib.cpu_time import cpu_ms
from lib.random_models import checkpoint_folder
from lib.typist import Typist
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.generation import Phase, Request
from starcoder_ls.settings import InlineCompletion, Model

USERS = (1, 4, 16)
MODULES = (
    "argparse", "ast", "bdb", "calendar", "configparser", "dataclasses", "difflib", "doctest", "fractions", "gettext",
    "inspect", "optparse", "pdb", "pickle", "subprocess", "textwrap",
)  # fmt: skip
SETTINGS = InlineCompletion(budget_ms=60_000)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a key. ``first_ms`` is the time to its first chunk."""

    user: int
    elapsed_ms: float
    first_ms: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """All answers of the users who typed at the same time."""

    answers: list[Answer]
    wall_s: float
    processor_s: float

    @property
    def tokens_per_s(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.wall_s

    @property
    def tokens_per_processor_s(self) -> float:
        """Per second of processor time of this process, which other processes do not affect."""
        return sum(answer.tokens for answer in self.answers) / self.processor_s

    def p95s(self) -> list[float]:
        """The 95th percentile of the milliseconds from key to answer, by user."""
        users = sorted({answer.user for answer in self.answers})
        times_ms = [sorted(answer.elapsed_ms for answer in self.answers if answer.user == user) for user in users]
        return [times[int(0.95 * (len(times) - 1) + 0.5)] for times in times_ms]


def start_engine(folder: Path, shares_passes: bool, threads: int) -> LocalEngine:
    """An engine that is ready and has answered a request."""
    can_batch = ModelRunner.can_batch
    if not shares_passes:
        ModelRunner.can_batch = False  # type: ignore[assignment, method-assign]
    engine = LocalEngine(Model(name=str(folder), device="cpu", threads=threads))
    engine.start()
    while engine.status().phase is Phase.LOADING:
        time.sleep(0.05)
    asyncio.run(warm_up(engine))
    ModelRunner.can_batch = can_batch  # type: ignore[method-assign]
    return engine


async def warm_up(engine: LocalEngine) -> None:
    async for _ in engine.stream(Request(("x",), 2)):
        pass


def build_requests(engine: LocalEngine, user: int, count: int, seed: int, positions: int) -> list[Request]:
    """The requests of a user's editor for ``count`` keys, which are typed at ``positions`` positions of the file."""
    text = (Path(sysconfig.get_paths()["stdlib"]) / f"{MODULES[user]}.py").read_text(encoding="utf-8")
    requests: list[Request] = []
    for key in Typist(text, seed, positions).type_keys():
        if key.requests_suggestion:
            cursor = Cursor(key.text, key.offset, "python", f"{MODULES[user]}.py", f"file-{user}", f"user-{user}")
            requests.append(build_prompt(engine, cursor, SETTINGS).completion_request(SETTINGS))
        if len(requests) == count:
            break
    return requests


async def type_keys(
    engine: LocalEngine, user: int, requests: Iterable[Request], tokens: int, end_s: float = math.inf
) -> list[Answer]:
    """Send the requests one after the other until the time ``end_s`` of ``time.monotonic()``."""
    answers = []
    for request in requests:
        if time.monotonic() >= end_s:
            break
        started_s, first_s, new_tokens = time.monotonic(), 0.0, 0
        fixed = {"stop": None, "max_new_tokens": tokens} if tokens else {}
        fresh_request = replace(request, cancel=CancelFlag(), deadline_s=None, **fixed)  # type: ignore[arg-type]
        async for chunk in engine.stream(fresh_request):
            first_s = first_s or time.monotonic()
            new_tokens += len(chunk.token_ids)
        elapsed_ms = (time.monotonic() - started_s) * 1000
        answers.append(Answer(user, elapsed_ms, (first_s - started_s) * 1000, new_tokens))
    return answers


def measure(engine: LocalEngine, requests_of: list[list[Request]], options: argparse.Namespace) -> Measurement:
    """All users type until the same time. The first key of each, which reads a whole window, is not measured."""

    async def run() -> Measurement:
        first_keys = (type_keys(engine, user, own[:1], options.tokens) for user, own in enumerate(requests_of))
        await asyncio.gather(*first_keys)
        started_s, started_cpu_ms = time.monotonic(), cpu_ms()
        answers = await asyncio.gather(
            *(
                type_keys(engine, user, itertools.cycle(own[1:]), options.tokens, started_s + options.seconds)
                for user, own in enumerate(requests_of)
            )
        )
        wall_s, processor_s = time.monotonic() - started_s, (cpu_ms() - started_cpu_ms) / 1000
        return Measurement([answer for own in answers for answer in own], wall_s, processor_s)

    return asyncio.run(run())


def compare(folder: Path, options: argparse.Namespace, console: Console) -> None:
    """Print a table per number of users."""
    engines = {kind: start_engine(folder, kind == "shared", options.threads) for kind in ("serial", "shared")}
    for users in options.people:
        table = Table(
            "users", "", "tokens/s", "key to answer, mean ms", "p95 ms", "worst user's p95 / mean p95",
            "/ mean", "shared / serial, tokens/s", "by processor time",
            title=f"{folder.name}, threads: {options.threads}, {options.rounds} rounds of {options.seconds:.0f} s each",
        )  # fmt: skip
        rounds: list[dict[str, Measurement]] = []
        for seed in range(options.rounds):
            requests_of = [
                build_requests(engines["shared"], user, options.keys + 1, seed, options.positions)
                for user in range(users)
            ]
            kinds = random.sample(sorted(engines), 2)
            rounds.append({kind: measure(engines[kind], requests_of, options) for kind in kinds})
        for kind in engines:
            runs = [measurements[kind] for measurements in rounds]
            times = sorted(answer.elapsed_ms for run in runs for answer in run.answers)
            mean = statistics.mean(times)
            worst = statistics.median(max(run.p95s()) / statistics.mean(run.p95s()) for run in runs)
            worst_to_mean = statistics.median(
                max(run.p95s()) / statistics.mean(answer.elapsed_ms for answer in run.answers) for run in runs
            )
            pairs = [(measurements["shared"], measurements["serial"]) for measurements in rounds]
            speedup = statistics.median(shared.tokens_per_s / serial.tokens_per_s for shared, serial in pairs)
            processor_speedup = statistics.median(
                shared.tokens_per_processor_s / serial.tokens_per_processor_s for shared, serial in pairs
            )
            ratios = [f"{speedup:.2f}", f"{processor_speedup:.2f}"] if kind == "shared" else ["", ""]
            table.add_row(
                str(users), kind, f"{statistics.median(run.tokens_per_s for run in runs):.0f}", f"{mean:.1f}",
                f"{times[int(0.95 * len(times))]:.1f}", f"{worst:.2f}", f"{worst_to_mean:.2f}", *ratios,
            )  # fmt: skip
        console.print(table)
    for engine in engines.values():
        engine.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--shapes", nargs="+", choices=["bundled", "164M"], default=["bundled"])
    arguments.add_argument("--people", nargs="+", type=int, default=list(USERS), help="numbers of users")
    arguments.add_argument("--keys", type=int, default=12, help="keys of each user, which are repeated")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument(
        "--tokens", type=int, default=0, help="generate this many tokens per key instead of applying the stop rule"
    )
    arguments.add_argument("--seconds", type=float, default=8.0, help="duration of each measurement")
    arguments.add_argument(
        "--positions", type=int, default=1, help="positions in each file; a jump between them reads a new window"
    )
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    console = Console(width=160)
    for name in options.shapes:
        compare(checkpoint_folder(name), options, console)
        gc.collect()


if __name__ == "__main__":
    main()
