"""``starcoder-ls eval infilling``: published infilling problems, scored as in their publications.

HumanEval-Infilling by running the programs, SantaCoder-FIM by comparing lines; the first row of the file tells which.
Answers are kept as they come until the scores are printed, so that the same command continues an interrupted run.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from starcoder_ls import __version__, settings, user_folders
from starcoder_ls.commands.support.adapter_routing import is_completion_adapter, with_routed_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import ConfiguredEngineFactory, loaded_engine
from starcoder_ls.commands.support.run_identity import digest, settings_text, weight_files
from starcoder_ls.commands.support.untrusted_programs import print_pass_rates, require_permission, run_programs
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import infilling, partial_run, santacoder, score
from starcoder_ls.evaluation.infilling import HumanEvalProblem, InfillingProblem
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.evaluation.santacoder import SantaCoderProblem
from starcoder_ls.generation import Engine
from starcoder_ls.languages.table import normalize_id

WAYS = ("spm", "psm", "server", "gold", "empty")

Problems = Sequence[HumanEvalProblem] | Sequence[SantaCoderProblem]


def run(
    overlay: dict[str, Any],
    settings_file: Path | None,
    problems_file: Path,
    ways: list[str],
    is_running_allowed: bool,
    is_json: bool,
) -> int:
    """Print the scores of each way to fill the problems. The exit code is 0.

    Raises SettingsError, also if programs would have to run on this machine without ``is_running_allowed``; ModelError.
    """
    rows = infilling.read_rows(problems_file)
    config = settings.load(overlay, file=settings_file)
    file = _answers_file(config, rows)
    if santacoder.is_santacoder_row(rows[0]):
        lines = santacoder.parse_problems(rows, problems_file)
        _print_line_scores(_answer(ways, lines, config, santacoder.MAX_TOKENS, file), lines, is_json)
        partial_run.remove(file)
        return 0
    problems = infilling.parse_problems(rows, problems_file)
    require_permission(is_running_allowed)
    answers = _answer(ways, problems, config, infilling.MAX_TOKENS, file)
    programs = {
        way: [problem.build_program(text) for problem, text in zip(problems, texts, strict=True)]
        for way, texts in answers.items()
    }
    print_pass_rates({way: run_programs(texts, way) for way, texts in programs.items()}, "filled by", is_json)
    partial_run.remove(file)
    return 0


def _answers_file(config: settings.Settings, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The name under which the answers of this run are kept; runs with other problems or models have others."""
    texts = map(json.dumps, rows)
    model, adapters = config.model.name, config.model_dump_json(include={"adapters"})
    identity = digest([__version__, settings_text(config), adapters, model, *weight_files(model), *texts])
    return user_folders.state_folder() / "evaluations" / f"infilling-{identity[:16]}"


def _answer(
    ways: Sequence[str], problems: Problems, config: settings.Settings, max_tokens: int, file: Path
) -> dict[str, list[str]]:
    """The answers to the problems, in order, by way. The model is loaded only if a way needs it.

    Its answers are kept beside ``file``; those that an interrupted run has kept there are not generated again.
    """
    answers = {"gold": [problem.middle for problem in problems], "empty": [""] * len(problems)}
    if model_ways := [way for way in ways if way not in answers]:
        with loaded_engine(config, ConfiguredEngineFactory(is_completion_adapter)) as engine:
            kept = _open_kept(file, engine)
            try:
                for way in model_ways:
                    answers[way] = _continue(way, engine, problems, config, max_tokens, kept)
            except BaseException:
                if kept.answers:
                    stderr.print(f"{len(kept.answers)} answers are kept: the same command continues the run.")
                raise
    return {way: answers[way] for way in ways}


def _open_kept(file: Path, engine: Engine) -> PartialRun[str]:
    """The answers of an interrupted run with the same model. Raises SettingsError if there is no folder for them."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{file.parent} cannot be created: {error.strerror}.") from error
    status = engine.status()
    kept = PartialRun[str](file, {"model": status.model, "device": status.device}, str)
    if kept.answers:
        stderr.print(f"{len(kept.answers)} answers of an interrupted run are kept: only the others are generated.")
    return kept


def _continue(
    way: str,
    engine: Engine,
    problems: Problems,
    config: settings.Settings,
    max_tokens: int,
    kept: PartialRun[str],
) -> list[str]:
    """The answers of a way; those that are not yet in ``kept`` are generated and added to it."""
    keys = [f"{way} {number}" for number in range(len(problems))]
    missing = [number for number, key in enumerate(keys) if key not in kept.answers]
    texts = _generate(way, engine, [problems[number] for number in missing], config, max_tokens)
    asyncio.run(_collect(texts, [keys[number] for number in missing], way, kept))
    return [kept.answers[key] for key in keys]


def _generate(
    way: str, engine: Engine, problems: Sequence[InfillingProblem], config: settings.Settings, max_tokens: int
) -> AsyncIterator[str]:
    if way == "server":
        with_adapter = functools.partial(with_routed_adapter, engine, config)
        return infilling.complete_with_server(engine, problems, config.inline_completion, _language_of, with_adapter)
    return infilling.complete_with_model(engine, problems, "spm" if way == "spm" else "psm", max_tokens)


def _language_of(problem: infilling.InfillingProblem) -> str:
    return normalize_id(problem.language) if isinstance(problem, SantaCoderProblem) else "python"


async def _collect(texts: AsyncIterator[str], keys: Sequence[str], way: str, kept: PartialRun[str]) -> None:
    remaining = iter(keys)
    with Progress(console=stderr) as bar:
        task = bar.add_task(f"{way}: generating", total=len(keys))
        async for text in texts:
            kept.add(next(remaining), text)
            bar.advance(task)


_CONVENTIONS: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("exact", santacoder.is_exact_match),
    ("first_line", santacoder.is_first_line_match),
)


def _print_line_scores(answers: dict[str, list[str]], lines: Sequence[SantaCoderProblem], is_json: bool) -> None:
    """Scores by way and language in both conventions, of all lines, and without those that are only brackets."""
    rows = []
    for way, texts in answers.items():
        for language in sorted({line.language for line in lines}):
            pairs = [(line, text) for line, text in zip(lines, texts, strict=True) if line.language == language]
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
