"""HumanEval-Infilling (Bavarian et al. 2022): a hole is filled well if the function passes its tests.

Problems and scoring as in openai/human-eval-infilling. Refuses to know how programs are run and engines are made.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt import families, fim
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import santacoder
from starcoder_ls.evaluation.completion_client import without_repeated
from starcoder_ls.generation import Chunk, Engine, Request
from starcoder_ls.settings import InlineCompletion

_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
MOST_TOKENS = 512


class Gap(Protocol):
    """Text around something that is missing; ``name`` is that of the document it stands in."""

    @property
    def name(self) -> str: ...
    @property
    def prefix(self) -> str: ...
    @property
    def suffix(self) -> str: ...


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


def rows(file: Path) -> list[dict[str, Any]]:
    """JSON lines, gzipped or not. Raises SettingsError."""
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
        found = [json.loads(line) for line in text.split("\n") if line.strip()]  # JSON may hold other line ends
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _refused(file, error) from error
    if not found or not all(isinstance(row, dict) for row in found):
        raise _refused(file, "no JSON object on some line" if found else "it is empty")
    return found


def problems(found: Sequence[Mapping[str, Any]], file: Path) -> list[Problem]:
    """Raises SettingsError for rows of something else."""
    try:
        return [Problem(*(row[field] for field in _FIELDS)) for row in found]
    except KeyError as error:
        raise _refused(file, f"no {error}") from error


def _refused(file: Path, why: object) -> SettingsError:
    said = f"{type(why).__name__}: {why}" if isinstance(why, Exception) else why
    return SettingsError(
        f"{file} cannot be read as infilling problems ({said}). Each line must be a JSON object with "
        f"{', '.join(_FIELDS)} (HumanEval-Infilling), or with {', '.join(santacoder.FIELDS)} (SantaCoder-FIM)."
    )


async def by_model(
    engine: Engine, gaps: Sequence[Gap], order: fim.Order, most_tokens: int = MOST_TOKENS
) -> AsyncIterator[str]:
    """All the model says until it ends its answer: the published convention, but greedy."""
    status = engine.status()
    family = families.find_family(status.special_tokens)
    for gap in gaps:
        asked = fim.build_parts(family, status.special_tokens, gap.prefix, gap.suffix, "", order)
        request = Request(
            asked.parts, most_tokens, prefix_parts=asked.prefix_parts, end_tokens=asked.end_tokens, document=gap.name
        )
        text = ""
        async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
            async for chunk in stream:
                text += chunk.text
        yield text


async def by_server(
    engine: Engine, gaps: Sequence[Gap], options: InlineCompletion, language: Callable[[Gap], str] = lambda _: "python"
) -> AsyncIterator[str]:
    """What an editor would insert: healed prompt, stop rule, tidied, without closers that stand there already."""
    for gap in gaps:
        text, at = gap.prefix + gap.suffix, len(gap.prefix)
        found = await suggest(engine, Cursor(text, at, language(gap), "", gap.name), options)
        yield without_repeated(found[0].text, text[found[0].start : at], text[at : found[0].end]) if found else ""
