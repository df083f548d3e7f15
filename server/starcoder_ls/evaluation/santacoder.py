"""SantaCoder's infilling benchmark (Ben Allal et al. 2023): one line is missing, and only that exact line is right.

There are two published conventions for comparing lines, about ten points apart on the same answers. Both are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import SettingsError

FIELDS = ("language", "prompt", "suffix", "canonical_solution")
MAX_TOKENS = 25
"""As published; 1 to 3 of 100 lines need more."""


@dataclass(frozen=True, slots=True)
class SantaCoderProblem:
    """The three texts do not make a valid file: mostly, the line breaks around ``middle`` are in none of them."""

    name: str
    language: str
    prefix: str
    suffix: str
    middle: str

    @property
    def is_whole_line(self) -> bool:
        return True

    @property
    def has_word(self) -> bool:
        """Whether ``middle`` has a letter or digit.

        A third of the Java and JavaScript lines are only brackets: a constant ``}`` gets those right.
        """
        return any(char.isalnum() for char in self.middle)


def is_santacoder_row(row: Mapping[str, Any]) -> bool:
    """Whether ``row`` is of this benchmark and not of HumanEval-Infilling."""
    return "language" in row and "entry_point" not in row


def parse_problems(rows: Sequence[Mapping[str, Any]], file: Path) -> list[SantaCoderProblem]:
    """Raises SettingsError, which names the line, if a row lacks a field."""
    problems = []
    for number, row in enumerate(rows, 1):
        if missing := [field for field in FIELDS if not isinstance(row.get(field), str)]:
            raise SettingsError(
                f"{file}, line {number}: no text in {', '.join(missing)}. Each line must be a JSON object with "
                f"{', '.join(FIELDS)}."
            )
        language, prefix, suffix, middle = (row[field] for field in FIELDS)
        problems.append(
            SantaCoderProblem(str(row.get("name", f"{language}/{number}")), language, prefix, suffix, middle)
        )
    return problems


def is_exact_match(answer: str, middle: str) -> bool:
    """Compares everything that was generated, as SantaCoder, StarCoder, Code Llama and DeepSeek-Coder do."""
    return answer.strip() == middle.strip()


def is_first_line_match(answer: str, middle: str) -> bool:
    """Compares the first generated line, as Qwen2.5-Coder does; one line break before it is skipped."""
    lines = answer.split("\n")
    first = lines[1] if answer.startswith(("\n", " \n")) else lines[0]
    return first.strip() == middle.strip()
