"""``starcoder-ls eval infilling``: pass@1 on a file of HumanEval-Infilling problems."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from starcoder_ls import settings
from starcoder_ls.commands.headless import loaded, stderr
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import execution, infilling, score
from starcoder_ls.generation import Engine

WAYS = ("spm", "psm", "server", "gold", "empty")


def run(
    overlay: dict[str, Any], file: Path | None, problems: Path, ways: list[str], is_allowed: bool, is_json: bool
) -> int:
    """Print pass@1 by way; the programs run on this machine, so only where the user said so."""
    if not is_allowed:
        raise SettingsError(
            "This runs programs that a model wrote, on this machine. Say --run-untrusted-code if you accept that."
        )
    if sys.platform == "win32":
        raise SettingsError("Running untrusted programs needs limits that Windows does not have. Use Linux or macOS.")
    if not execution.has_own_network():
        stderr.print("The kernel gives no network namespace to this user: the programs can reach the network.")
    chosen = settings.load(overlay, file=file)
    found = infilling.read(problems)
    results: dict[str, list[bool]] = {}
    if needs_model := [way for way in ways if way not in ("gold", "empty")]:
        with loaded(chosen) as engine:
            for way in needs_model:
                results[way] = asyncio.run(_passed(_answers(way, engine, found, chosen), found, way))
    for way, answer in (("gold", lambda problem: problem.middle), ("empty", lambda _: "")):
        if way in ways:
            results[way] = asyncio.run(_passed(_given(found, answer), found, way))
    _show(results, is_json)
    return 0


def _answers(
    way: str, engine: Engine, problems: list[infilling.Problem], chosen: settings.Settings
) -> AsyncIterator[str]:
    if way == "server":
        return infilling.by_server(engine, problems, chosen.inline_completion)
    return infilling.by_model(engine, problems, "spm" if way == "spm" else "psm")


async def _given(problems: list[infilling.Problem], answer: Callable[[infilling.Problem], str]) -> AsyncIterator[str]:
    for problem in problems:
        yield answer(problem)


async def _passed(answers: AsyncIterator[str], problems: list[infilling.Problem], way: str) -> list[bool]:
    passed = []
    with Progress(console=stderr) as bar:
        task = bar.add_task(way, total=len(problems))
        at = iter(problems)
        async for answer in answers:
            passed.append(await asyncio.to_thread(execution.passes, next(at).program(answer)))
            bar.advance(task)
    return passed


def _show(results: dict[str, list[bool]], is_json: bool) -> None:
    if is_json:
        print(json.dumps({way: {"passed": sum(passed), "problems": len(passed)} for way, passed in results.items()}))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print("| filled by | pass@1, % (95 %) | passed |\n|---|---|---|")
    for way, passed in results.items():
        console.print(f"| {way} | {score.share(passed)} | {sum(passed)} of {len(passed)} |")
