"""HumanEval-Infilling (Bavarian et al. 2022): a hole is filled well if the function passes its tests.

Problems and scoring as in openai/human-eval-infilling. Refuses to know how programs are run and engines are made.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from starcoder_ls.completion import prompt
from starcoder_ls.completion.suggest import Cursor, suggest
from starcoder_ls.errors import SettingsError
from starcoder_ls.generation import Chunk, Engine, Request
from starcoder_ls.settings import InlineCompletion

_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
_MOST_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Problem:
    """``prefix`` and ``suffix`` around a hole in which ``middle`` stood; ``test`` defines ``check(function)``."""

    name: str
    entry_point: str
    prefix: str
    suffix: str
    middle: str
    test: str

    def program(self, completion: str) -> str:
        body = self.prefix + completion + self.suffix
        return f"{body}\n{self.test}\ncheck({self.entry_point})"


def read(file: Path) -> list[Problem]:
    """From JSON lines, gzipped or not. Raises SettingsError."""
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        return [Problem(*(row[field] for field in _FIELDS)) for row in rows]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{file} cannot be read as HumanEval-Infilling problems ({type(error).__name__}: {error}). Each line must "
            f"be a JSON object with {', '.join(_FIELDS)}."
        ) from error


async def by_model(engine: Engine, problems: Sequence[Problem], order: prompt.Order) -> AsyncIterator[str]:
    """All the model says until it ends its answer: the published convention. Greedy, at most 512 tokens."""
    status = engine.status()
    family = prompt.family_of(status.special_tokens)
    for problem in problems:
        asked = prompt.fim(family, status.special_tokens, problem.prefix, problem.suffix, "", order)
        request = Request(
            asked.parts, _MOST_TOKENS, continued=asked.continued, end_tokens=asked.ends, document=problem.name
        )
        text = ""
        async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
            async for chunk in stream:
                text += chunk.text
        yield text


async def by_server(engine: Engine, problems: Sequence[Problem], options: InlineCompletion) -> AsyncIterator[str]:
    """What an editor would show: healed prompt, stop rule, tidied."""
    for problem in problems:
        cursor = Cursor(problem.prefix + problem.suffix, len(problem.prefix), "python", "", problem.name)
        found = await suggest(engine, cursor, options)
        yield found[0].text if found else ""
