"""SantaCoder's infilling benchmark (Ben Allal et al. 2023): one line is missing, and only that very line counts.

Decides by both published conventions what an answer scores; they lie about ten points apart on the same answers.
Refuses to know how answers are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import SettingsError

FIELDS = ("language", "prompt", "suffix", "canonical_solution")
MOST_TOKENS = 25
"""As published: more is needed for 1 to 3 lines of a hundred."""


@dataclass(frozen=True, slots=True)
class MissingLine:
    """``prefix`` mostly ends before a line break and ``middle`` begins behind one: no valid file when put together."""

    name: str
    language: str
    prefix: str
    suffix: str
    middle: str

    @property
    def has_word(self) -> bool:
        """A third of the Java and JavaScript lines are only brackets: a constant ``}`` gets those right."""
        return any(char.isalnum() for char in self.middle)


def is_format_of(row: Mapping[str, Any]) -> bool:
    return "language" in row and "entry_point" not in row


def problems(rows: Sequence[Mapping[str, Any]], file: Path) -> list[MissingLine]:
    """Raises SettingsError naming the line."""
    found = []
    for number, row in enumerate(rows, 1):
        if missing := [field for field in FIELDS if not isinstance(row.get(field), str)]:
            raise SettingsError(
                f"{file}, line {number}: no text in {', '.join(missing)}. Each line must be a JSON object with "
                f"{', '.join(FIELDS)}."
            )
        language, prefix, suffix, middle = (row[field] for field in FIELDS)
        found.append(MissingLine(str(row.get("name", f"{language}/{number}")), language, prefix, suffix, middle))
    return found


def is_exact(answer: str, middle: str) -> bool:
    """All that was generated, as SantaCoder, StarCoder, Code Llama and DeepSeek-Coder count."""
    return answer.strip() == middle.strip()


def is_first_line(answer: str, middle: str) -> bool:
    """The first generated line, as Qwen2.5-Coder counts; one line break before it is no line."""
    lines = answer.split("\n")
    first = lines[1] if answer.startswith(("\n", " \n")) else lines[0]
    return first.strip() == middle.strip()
