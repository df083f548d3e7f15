"""``starcoder-ls eval fixes``: the action `fix` on the problems of HumanEvalFix, whose tests are run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from starcoder_ls import settings
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import LocalEngineFactory, loaded_engine
from starcoder_ls.commands.support.untrusted_programs import print_pass_rates, require_permission, run_programs
from starcoder_ls.evaluation.fix_problems import fix_with_model, parse_problems
from starcoder_ls.evaluation.infilling import read_rows

WAYS = ("model", "gold", "buggy")


def run(
    overlay: dict[str, Any],
    settings_file: Path | None,
    problems_file: Path,
    ways: Sequence[str],
    is_running_allowed: bool,
    is_json: bool,
) -> int:
    """Print how many problems are right by each way to fix them. The exit code is 0.

    Raises SettingsError, also without ``is_running_allowed``; ActionUnavailable, ModelError.
    """
    config = settings.load(overlay, file=settings_file)
    problems = parse_problems(read_rows(problems_file), problems_file)
    require_permission(is_running_allowed)
    codes: dict[str, list[str]] = {
        "gold": [problem.declaration + problem.right for problem in problems],
        "buggy": [problem.declaration + problem.buggy for problem in problems],
    }
    if "model" in ways:
        with loaded_engine(config, LocalEngineFactory()) as engine, Progress(console=stderr) as bar:
            tracked = bar.track(problems, description="model: fixing")
            codes["model"] = [asyncio.run(fix_with_model(config, engine, problem)) for problem in tracked]
    programs = {
        way: [problem.build_program(code) for problem, code in zip(problems, codes[way], strict=True)] for way in ways
    }
    print_pass_rates({way: run_programs(texts, way) for way, texts in programs.items()}, "fixed by", is_json)
    return 0
