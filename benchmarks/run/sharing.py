"""1, 4 and 16 people who type on one engine: what sharing passes is worth, and whether everybody gets a fair part.

Each types into a file of its own and asks at every key, again as soon as it has its answer; memory of suggestions off.
Serial is the same engine without shared passes. Both in turn, in one process; ratios are medians over the rounds.
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
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.generation import CancelFlag, Phase, Request
from starcoder_ls.settings import InlineCompletion, Model

PEOPLE = (1, 4, 16)
MODULES = (
    "argparse", "ast", "bdb", "calendar", "configparser", "dataclasses", "difflib", "doctest", "fractions", "gettext",
    "inspect", "optparse", "pdb", "pickle", "subprocess", "textwrap",
)  # fmt: skip
SETTINGS = InlineCompletion(budget_ms=60_000)


@dataclass(frozen=True, slots=True)
class Answered:
    """One key."""

    person: int
    elapsed_ms: float
    first_ms: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Played:
    """One crowd that typed to its end."""

    answers: list[Answered]
    wall_s: float
    worked_s: float

    @property
    def tokens_per_s(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.wall_s

    @property
    def tokens_per_worked_s(self) -> float:
        """By the time that a processor worked for us: what runs beside is not in it."""
        return sum(answer.tokens for answer in self.answers) / self.worked_s

    def p95s(self) -> list[float]:
        """Of each person, ms from key to answer."""
        people = sorted({answer.person for answer in self.answers})
        times = [sorted(a.elapsed_ms for a in self.answers if a.person == person) for person in people]
        return [own[int(0.95 * (len(own) - 1) + 0.5)] for own in times]


def started(folder: Path, is_sharing: bool, threads: int) -> LocalEngine:
    """An engine that is ready."""
    can_batch = ModelRunner.can_batch
    if not is_sharing:
        ModelRunner.can_batch = False  # type: ignore[assignment, method-assign]
    engine = LocalEngine(Model(name=str(folder), device="cpu", threads=threads))
    engine.start()
    while engine.status().phase is Phase.LOADING:
        time.sleep(0.05)
    asyncio.run(warmed(engine))
    ModelRunner.can_batch = can_batch  # type: ignore[method-assign]
    return engine


async def warmed(engine: LocalEngine) -> None:
    async for _ in engine.stream(Request(("x",), 2)):
        pass


def keys_of(engine: LocalEngine, person: int, keys: int, seed: int, spots: int) -> list[Request]:
    """What one person's editor asks, made before the clock runs."""
    text = (Path(sysconfig.get_paths()["stdlib"]) / f"{MODULES[person]}.py").read_text(encoding="utf-8")
    asked = []
    for key in Typist(text, seed, spots).type_keys():
        if key.requests_suggestion:
            cursor = Cursor(
                key.text, key.offset, "python", f"{MODULES[person]}.py", f"file-{person}", f"person-{person}"
            )
            asked.append(build_prompt(engine, cursor, SETTINGS).completion_request(SETTINGS))
        if len(asked) == keys:
            break
    return asked


async def typing(
    engine: LocalEngine, person: int, requests: Iterable[Request], tokens: int, end_s: float = math.inf
) -> list[Answered]:
    answers = []
    for request in requests:
        if time.monotonic() >= end_s:
            break
        began_s, first_s, made = time.monotonic(), 0.0, 0
        fixed = {"stop": None, "max_new_tokens": tokens} if tokens else {}
        wanted = replace(request, cancel=CancelFlag(), deadline_s=None, **fixed)  # type: ignore[arg-type]
        async for chunk in engine.stream(wanted):
            first_s = first_s or time.monotonic()
            made += len(chunk.token_ids)
        answers.append(Answered(person, (time.monotonic() - began_s) * 1000, (first_s - began_s) * 1000, made))
    return answers


def played(engine: LocalEngine, crowd: list[list[Request]], given: argparse.Namespace) -> Played:
    """All of a crowd, for as long as given: nobody is left alone at the end. The first keys, each of which reads a
    whole window, are no part of it.
    """

    async def all_of_them() -> Played:
        await asyncio.gather(*(typing(engine, person, own[:1], given.tokens) for person, own in enumerate(crowd)))
        since_s, started_cpu_ms = time.monotonic(), cpu_ms()
        made = await asyncio.gather(
            *(
                typing(engine, person, itertools.cycle(own[1:]), given.tokens, since_s + given.seconds)
                for person, own in enumerate(crowd)
            )
        )
        wall_s, worked_s = time.monotonic() - since_s, (cpu_ms() - started_cpu_ms) / 1000
        return Played([answer for own in made for answer in own], wall_s, worked_s)

    return asyncio.run(all_of_them())


def measured(folder: Path, given: argparse.Namespace, console: Console) -> None:
    engines = {kind: started(folder, kind == "shared", given.threads) for kind in ("serial", "shared")}
    for people in given.people:
        table = Table(
            "typing at once", "", "tokens/s", "key to answer, mean ms", "p95 ms", "worst person's p95 / mean p95",
            "/ mean", "shared / serial, tokens/s", "by processor time",
            title=f"{folder.name}, {given.threads} thread(s), {given.rounds} rounds of {given.seconds:.0f} s each",
        )  # fmt: skip
        rounds: list[dict[str, Played]] = []
        for number in range(given.rounds):
            crowd = [
                keys_of(engines["shared"], person, given.keys + 1, number, given.spots) for person in range(people)
            ]
            kinds = random.sample(sorted(engines), 2)
            rounds.append({kind: played(engines[kind], crowd, given) for kind in kinds})
        for kind in engines:
            ours = [one[kind] for one in rounds]
            times = sorted(answer.elapsed_ms for one in ours for answer in one.answers)
            mean = statistics.mean(times)
            worst = statistics.median(max(one.p95s()) / statistics.mean(one.p95s()) for one in ours)
            beside_mean = statistics.median(
                max(one.p95s()) / statistics.mean(answer.elapsed_ms for answer in one.answers) for one in ours
            )
            wall = statistics.median(one["shared"].tokens_per_s / one["serial"].tokens_per_s for one in rounds)
            work = statistics.median(
                one["shared"].tokens_per_worked_s / one["serial"].tokens_per_worked_s for one in rounds
            )
            ratios = [f"{wall:.2f}", f"{work:.2f}"] if kind == "shared" else ["", ""]
            table.add_row(
                str(people), kind, f"{statistics.median(one.tokens_per_s for one in ours):.0f}", f"{mean:.1f}",
                f"{times[int(0.95 * len(times))]:.1f}", f"{worst:.2f}", f"{beside_mean:.2f}", *ratios,
            )  # fmt: skip
        console.print(table)
    for engine in engines.values():
        engine.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--shapes", nargs="+", choices=["bundled", "164M"], default=["bundled"])
    arguments.add_argument("--people", nargs="+", type=int, default=list(PEOPLE))
    arguments.add_argument("--keys", type=int, default=12, help="of each person, again and again")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument(
        "--tokens", type=int, default=0, help="answers of so many tokens, in place of the stop rule's"
    )
    arguments.add_argument("--seconds", type=float, default=8.0, help="of each crowd")
    arguments.add_argument("--spots", type=int, default=1, help="of a file: a jump reads a window alone")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    console = Console(width=160)
    for name in given.shapes:
        measured(checkpoint_folder(name), given, console)
        gc.collect()


if __name__ == "__main__":
    main()
