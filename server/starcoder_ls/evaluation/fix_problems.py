"""HumanEvalFix (Muennighoff et al. 2023): a fix is right if the function passes its tests.

The fields are those of bigcode/humanevalpack. Decides that the model sees what an editor sends, the function and not
its tests, so that the scores are not those of the publication.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import ActionUnavailable, AnswerUnusable, PromptTooLong, SettingsError
from starcoder_ls.generation import Engine
from starcoder_ls.rewrite import edits, perform_action
from starcoder_ls.rewrite.target import find_target
from starcoder_ls.settings import Settings

FIELDS = ("task_id", "declaration", "buggy_solution", "canonical_solution", "test", "entry_point")
_LANGUAGE = "python"


@dataclass(frozen=True, slots=True)
class FixProblem:
    """``buggy`` and ``right`` are the bodies that can follow ``declaration``; ``test`` fails for the first of them."""

    name: str
    declaration: str
    buggy: str
    right: str
    test: str
    entry_point: str

    def build_program(self, code: str) -> str:
        """A program that runs without an exception if ``code`` is right."""
        call = f"check({self.entry_point})"
        is_called = call in self.test.split("\n")
        return f"{code}\n{self.test}\n" + ("" if is_called else f"{call}\n")


def parse_problems(rows: Sequence[Mapping[str, Any]], file: Path) -> list[FixProblem]:
    """Raises SettingsError if a row lacks a field, or is not in Python."""
    problems = []
    for row in rows:
        missing = next((name for name in FIELDS if not isinstance(row.get(name), str)), None)
        if missing is not None:
            raise SettingsError(
                f"{file} cannot be read as HumanEvalFix problems (no {missing!r}). Each line must be a JSON object "
                f"with {', '.join(FIELDS)}."
            )
        if not str(row["task_id"]).lower().startswith(_LANGUAGE):
            raise SettingsError(
                f"{file} has the problem {row['task_id']!r}. Only the problems in Python can be run: use their file."
            )
        problems.append(FixProblem(*(row[name] for name in FIELDS)))
    return problems


async def fix_with_model(config: Settings, engine: Engine, problem: FixProblem) -> str:
    """The code after the action ``fix``; the buggy code if the action gives nothing.

    Raises ActionUnavailable if the model cannot fix code.
    """
    code = problem.declaration + problem.buggy
    at = code.rfind(f"def {problem.entry_point}(")
    target = find_target(code, at, at, _LANGUAGE, document=problem.name) if at >= 0 else None
    if target is None:
        return code
    perform_action.require_route(config, perform_action.loaded_adapters(engine), "fix", target, engine.status())
    try:
        prepared = perform_action.prepare_action(config, engine, "fix", target)
        return edits.apply_changes(code, await perform_action.compute_changes(engine, prepared))
    except (ActionUnavailable, AnswerUnusable, PromptTooLong):
        return code
