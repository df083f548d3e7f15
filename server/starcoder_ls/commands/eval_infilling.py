"""``starcoder-ls eval infilling``: a file of published infilling problems, scored as it was published.

HumanEval-Infilling by running the programs, SantaCoder-FIM by comparing lines. Decides which of them a file is.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_routing import is_completion_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import LocalEngineFactory, loaded_engine
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import infilling, sandbox, santacoder, score
from starcoder_ls.evaluation.infilling import HumanEvalProblem
from starcoder_ls.evaluation.santacoder import MissingLine
from starcoder_ls.generation import Engine
from starcoder_ls.languages.table import normalize_id

WAYS = ("spm", "psm", "server", "gold", "empty")


def run(
    overlay: dict[str, Any], file: Path | None, problems: Path, ways: list[str], is_allowed: bool, is_json: bool
) -> int:
    """Print the scores by way. Programs run on this machine, so only where the user said so."""
    rows = infilling.read_rows(problems)
    chosen = settings.load(overlay, file=file)
    if santacoder.is_santacoder_row(rows[0]):
        lines = santacoder.parse_problems(rows, problems)
        _show_lines(_answers(ways, lines, chosen, santacoder.MAX_TOKENS), lines, is_json)
        return 0
    found = infilling.parse_problems(rows, problems)
    if not is_allowed:
        raise SettingsError(
            "This runs programs that a model wrote, on this machine. Say --run-untrusted-code if you accept that."
        )
    if sys.platform == "win32":
        raise SettingsError("Running untrusted programs needs limits that Windows does not have. Use Linux or macOS.")
    if said := network_note(sandbox.can_isolate_network()):
        stderr.print(said)
    answers = _answers(ways, found, chosen, infilling.MAX_TOKENS)
    _show_passed({way: _passed(found, given, way) for way, given in answers.items()}, is_json)
    return 0


def network_note(is_cut_off: bool) -> str:
    """What a user is told before programs run that can reach the network; else nothing."""
    kernel = "The kernel gives no network namespace to this user: the programs can reach the network."
    return "" if is_cut_off else f"{kernel} Stop here if that is too much, or run this in a container without one."


Gaps = Sequence[HumanEvalProblem] | Sequence[MissingLine]


def _answers(ways: Sequence[str], gaps: Gaps, chosen: settings.Settings, most_tokens: int) -> dict[str, list[str]]:
    """By way, one answer per gap, in order; the model is loaded once, and only if somebody asks it."""
    made = {"gold": [gap.middle for gap in gaps], "empty": [""] * len(gaps)}
    if needs_model := [way for way in ways if way not in made]:
        with loaded_engine(chosen, LocalEngineFactory(is_completion_adapter)) as engine:
            for way in needs_model:
                answers = _by(way, engine, gaps, chosen, most_tokens)
                made[way] = asyncio.run(_counted(answers, len(gaps), way))
    return {way: made[way] for way in ways}


def _by(way: str, engine: Engine, gaps: Gaps, chosen: settings.Settings, most_tokens: int) -> AsyncIterator[str]:
    if way == "server":
        return infilling.complete_with_server(engine, gaps, chosen.inline_completion, _language)
    return infilling.complete_with_model(engine, gaps, "spm" if way == "spm" else "psm", most_tokens)


def _language(gap: infilling.InfillingProblem) -> str:
    return normalize_id(gap.language) if isinstance(gap, MissingLine) else "python"


async def _counted(answers: AsyncIterator[str], count: int, way: str) -> list[str]:
    found = []
    with Progress(console=stderr) as bar:
        task = bar.add_task(f"{way}: asking", total=count)
        async for answer in answers:
            found.append(answer)
            bar.advance(task)
    return found


def _passed(problems: Sequence[HumanEvalProblem], answers: Sequence[str], way: str) -> list[bool]:
    with Progress(console=stderr) as bar:
        pairs = bar.track(list(zip(problems, answers, strict=True)), description=f"{way}: running")
        return [sandbox.passes(problem.build_program(answer)) for problem, answer in pairs]


def _show_passed(results: dict[str, list[bool]], is_json: bool) -> None:
    if is_json:
        print(json.dumps({way: {"passed": sum(passed), "problems": len(passed)} for way, passed in results.items()}))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print("| filled by | pass@1, % (95 %) | passed |\n|---|---|---|")
    for way, passed in results.items():
        console.print(f"| {way} | {score.estimate_proportion(passed)} | {sum(passed)} of {len(passed)} |")


_CONVENTIONS: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("exact", santacoder.is_exact_match),
    ("first_line", santacoder.is_first_line_match),
)


def _show_lines(answers: dict[str, list[str]], lines: Sequence[MissingLine], is_json: bool) -> None:
    """By way and language, under both conventions, and under both without the lines that are only brackets."""
    rows = []
    for way, given in answers.items():
        for language in sorted({line.language for line in lines}):
            pairs = [(line, text) for line, text in zip(lines, given, strict=True) if line.language == language]
            row: dict[str, Any] = {"way": way, "language": language, "problems": len(pairs)}
            for name, is_right in _CONVENTIONS:
                row[name] = [is_right(text, line.middle) for line, text in pairs]
                row[f"{name}_words"] = [is_right(text, line.middle) for line, text in pairs if line.has_word]
            rows.append(row)
    if is_json:
        print(json.dumps([{key: sum(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows]))
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(
        "| filled by | language | problems | exact match, % (95 %) | first line, % (95 %) | lines with words: exact | "
        "lines with words: first line |\n|---|---|---|---|---|---|---|"
    )
    for row in rows:
        cells = [row["way"], row["language"], row["problems"]]
        names = ("exact", "first_line", "exact_words", "first_line_words")
        cells += [score.estimate_proportion(row[name]) if row[name] else "none" for name in names]
        console.print("| " + " | ".join(map(str, cells)) + " |")
