"""HumanEval-Infilling (Bavarian et al. 2022): a completion is right if the function passes its tests.

Problems and scoring are those of openai/human-eval-infilling.
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
from starcoder_ls.context.file_reader import read_file
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import santacoder
from starcoder_ls.evaluation.completion_client import strip_replaced
from starcoder_ls.generation import Chunk, Engine, Request
from starcoder_ls.settings import InlineCompletion

_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
MAX_TOKENS = 512
_BUDGET_MS = 600_000
_MAX_BYTES = 256 << 20


class InfillingProblem(Protocol):
    """Text around a missing part; ``name`` identifies the document.

    ``is_whole_line`` says that the missing part is a line whose line breaks may be in none of the texts.
    """

    @property
    def name(self) -> str: ...
    @property
    def prefix(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def middle(self) -> str: ...
    @property
    def is_whole_line(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class HumanEvalProblem:
    """``middle`` is missing between ``prefix`` and ``suffix``; ``test`` defines ``check(function)``."""

    name: str
    entry_point: str
    prefix: str
    suffix: str
    middle: str
    test: str

    @property
    def is_whole_line(self) -> bool:
        return False

    def build_program(self, completion: str) -> str:
        """A program that runs without an exception if ``completion`` is right."""
        body = self.prefix + completion + self.suffix
        return f"{body}\n{self.test}\ncheck({self.entry_point})"


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of JSON lines, gzipped or not. Raises SettingsError if it is something else."""
    try:
        raw = read_file(file, _MAX_BYTES)
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]  # JSON may contain other line ends
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _not_readable(file, error) from error
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise _not_readable(file, "a line is not a JSON object" if rows else "it is empty")
    return rows


def parse_problems(rows: Sequence[Mapping[str, Any]], file: Path) -> list[HumanEvalProblem]:
    """Raises SettingsError if a row lacks a field."""
    try:
        return [HumanEvalProblem(*(row[field] for field in _FIELDS)) for row in rows]
    except KeyError as error:
        raise _not_readable(file, f"no {error}") from error


def _not_readable(file: Path, reason: object) -> SettingsError:
    text = f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else reason
    return SettingsError(
        f"{file} cannot be read as infilling problems ({text}). Each line must be a JSON object with "
        f"{', '.join(_FIELDS)} (HumanEval-Infilling), or with {', '.join(santacoder.FIELDS)} (SantaCoder-FIM)."
    )


async def complete_with_model(
    engine: Engine, problems: Sequence[InfillingProblem], order: fim.Order, max_tokens: int = MAX_TOKENS
) -> AsyncIterator[str]:
    """Yields everything that the model generates for each problem: the published convention, but greedy."""
    status = engine.status()
    family = families.find_family(status.special_tokens)
    for problem in problems:
        prompt = fim.build_parts(family, status.special_tokens, problem.prefix, problem.suffix, "", order)
        request = Request(
            prompt.parts,
            max_tokens,
            prefix_parts=prompt.prefix_parts,
            end_tokens=prompt.end_tokens,
            document=problem.name,
        )
        text = ""
        async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
            async for chunk in stream:
                text += chunk.text
        yield text


@dataclass(frozen=True, slots=True)
class PositionedCursor:
    """A document with the cursor at ``offset``. ``head`` and ``tail`` are what it has already of the missing part."""

    text: str
    offset: int
    head: str = ""
    tail: str = ""


def position_cursor(problem: InfillingProblem) -> PositionedCursor:
    """The cursor where an editor has it when the missing part is typed.

    Whole lines are typed on a line of their own, after the indentation; in the problems the cursor is before the text
    of the next line, or at the end of the line before. As in ``eval holes``, the indentation is that of the original.
    """
    prefix, middle, suffix = problem.prefix, problem.middle, problem.suffix
    line = prefix.rpartition("\n")[2]
    if line.strip() and not problem.is_whole_line:
        return PositionedCursor(prefix + suffix, len(prefix))
    head = "\n" if line.strip() else ""
    if not line or head:
        head += _indentation(middle, prefix if problem.is_whole_line else "")
    is_broken = suffix.startswith("\n") or not suffix
    tail = "" if is_broken or not (middle.endswith("\n") or problem.is_whole_line) else "\n"
    return PositionedCursor(prefix + head + tail + suffix, len(prefix) + len(head), head, tail)


def _indentation(middle: str, above: str) -> str:
    """The blanks before the first line of ``middle``; if it has none, those that an editor adds below ``above``."""
    first = middle.split("\n", 1)[0]
    blanks = first[: len(first) - len(first.lstrip(" \t"))]
    if blanks or not above.strip():
        return blanks
    line = above.rstrip().rpartition("\n")[2]
    deeper = "    " if line.endswith((":", "{", "(", "[")) else ""
    return line[: len(line) - len(line.lstrip(" \t"))] + deeper


async def complete_with_server(
    engine: Engine,
    problems: Sequence[InfillingProblem],
    options: InlineCompletion,
    language_of: Callable[[InfillingProblem], str] = lambda _: "python",
    with_adapter: Callable[[Cursor], Cursor] = lambda cursor: cursor,
) -> AsyncIterator[str]:
    """Yields what an editor would insert for each problem: with token healing, stop rules and filters.

    ``with_adapter`` adds to a cursor the adapter that completes there.
    The time limit of ``options`` does not apply: the scores are those of the model, not of this machine's load.
    """
    options = options.model_copy(update={"budget_ms": _BUDGET_MS})
    for problem in problems:
        positioned = position_cursor(problem)
        cursor = Cursor(positioned.text, positioned.offset, language_of(problem), "", problem.name)
        suggestions = await suggest(engine, with_adapter(cursor), options)
        if suggestions:
            first = suggestions[0]
            before, after = (
                positioned.text[first.start : positioned.offset],
                positioned.text[positioned.offset : first.end],
            )
            yield positioned.head + strip_replaced(first.text, before, after) + positioned.tail
        else:
            yield ""
