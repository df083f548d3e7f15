"""Processor time of the server's event loop for a key, by stage, without a model (benchmarks/lib/staged_server.py).

Processor time and alternating processes, so that it can run on a machine that does other work. Each key is a change and
a request, sent at once or, with --delay, one after the other, as VS Code does.

    python benchmarks/run/server_time.py [--keys 120] [--rounds 3] [--delay 0.02] [--warm] [FOLDER]

FOLDER is another checkout of the project, for comparison; its answers have to be the same.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

import itertools

from keystrokes import lsp_change, lsp_position

from lib.staged_server import STAGES
from lib.typist import Typist
from starcoder_ls.lsp import client

PROJECT = Path(__file__).parents[2]
SERVER = PROJECT / "benchmarks" / "lib" / "staged_server.py"
TYPED = Path(dataclasses.__file__)
TYPED_TEXT = TYPED.read_text(encoding="utf-8")
WARM_UP_KEYS, PAUSE_S = 15, 0.006
OPTIONS = {"inline_completion": {"budget_ms": 60_000, "remember": False, "ahead": False}}
CAPABILITIES = {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-32"]}}


async def type_keys(project: Path, keys: int, delay_s: float, flags: list[str]) -> tuple[list[Any], list[Any]]:
    """The stages of each key and the answers of a new server of ``project``."""
    answers: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        env = {**os.environ, "PYTHONPATH": str(project / "server"), "STARCODER_LS_STATE": folder}
        command = [sys.executable, str(SERVER), str(results), str(TYPED), *flags]
        async with client.start(command, env=env, stderr=subprocess.DEVNULL) as server:
            await server.initialize(OPTIONS, CAPABILITIES)
            while (status := await server.request("starcoder/status"))["phase"] != "ready":
                assert status["phase"] != "failed", status["message"]
                await asyncio.sleep(PAUSE_S)
            seed = 0
            while len(answers) < keys:
                seed += 1
                typist = Typist(TYPED_TEXT, seed, 2)
                answers += await type_file(server, typist, f"file:///{seed}.py", keys - len(answers), delay_s)
            await server.shutdown()
        return await asyncio.to_thread(_read, results), answers


def _read(results: Path) -> list[dict[str, float]]:
    return list(json.loads(results.read_text(encoding="utf-8")))


async def type_file(server: client.Client, typist: Typist, uri: str, keys: int, delay_s: float) -> list[Any]:
    answers: list[Any] = []
    text, version = typist.text, 1
    server.open(uri, text)
    for key in typist.type_keys():
        if key.changes:
            version += 1
            server.change(uri, version, *(lsp_change(text, change) for change in key.changes))
        text = key.text
        if not key.requests_suggestion:
            continue
        if delay_s:
            await asyncio.sleep(delay_s)
        cursor = lsp_position(text, key.offset)
        items = await server.inline_completion(uri, cursor["line"], cursor["character"])
        answers.append([(item["insertText"], item["range"]) for item in items] if items else items)
        await asyncio.sleep(PAUSE_S)
        if len(answers) == keys:
            break
    return answers


def stage_times(keys: list[dict[str, float]]) -> dict[str, float]:
    """The median of each stage in microseconds, from its beginning to that of the next one."""
    complete = [key for key in keys if all(stage in key for stage in STAGES)][WARM_UP_KEYS:]
    pairs = [*itertools.pairwise(STAGES), (STAGES[0], STAGES[-1])]
    return {f"{a} to {b}": statistics.median(key[b] - key[a] for key in complete) for a, b in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="another checkout")
    parser.add_argument("--keys", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds from a change to its request")
    parser.add_argument("--warm", action="store_true", help="leave the processor's caches as they are")
    options = parser.parse_args()
    projects = [PROJECT] if options.folder is None else [options.folder.resolve(), PROJECT]
    rounds: dict[Path, list[dict[str, float]]] = {project: [] for project in projects}
    answers: dict[Path, list[Any]] = {}
    for number in range(options.rounds):
        for project in projects if number % 2 == 0 else projects[::-1]:
            flags = ["--warm"] if options.warm else []
            keys, answers[project] = asyncio.run(type_keys(project, options.keys, options.delay, flags))
            rounds[project].append(stage_times(keys))
    print("| processor time of the loop, µs |", " | ".join(project.name for project in projects), "|")
    print("|---|" + "---|" * len(projects))
    for stage in rounds[PROJECT][0]:
        times = [statistics.median(each[stage] for each in rounds[project]) for project in projects]
        print(f"| {stage} |", " | ".join(f"{time_us:.0f}" for time_us in times), "|")
    if len(projects) == 2:
        print("same answers:", answers[projects[0]] == answers[PROJECT])


if __name__ == "__main__":
    main()
