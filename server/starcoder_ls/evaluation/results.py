"""The results of a run: each hole with its scores, stored as JSON so that another run can be compared with it.

Decides what is stored of a hole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from starcoder_ls.context.file_reader import MAX_DOCUMENT_BYTES, decode_text, read_file
from starcoder_ls.context.secrets import mask_secrets_in_range
from starcoder_ls.context.source_files import Source
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import score
from starcoder_ls.evaluation.holes import Hole, Kind

FORMAT: Literal["starcoder-ls holes 1"] = "starcoder-ls holes 1"
_CONTEXT_LINES = 4


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Texts(_Record):
    """The user's own code. Strings that look like secrets are masked, since reports are passed on."""

    before: str
    """The last lines before the cursor."""
    truth: str
    suggestion: str


class ScoredHole(_Record):
    """One hole and the scores of its suggestion. ``id`` depends on the position and on the whole text of the file."""

    id: str
    kind: Kind
    language: str
    path: str
    line: int = Field(ge=1)
    has_answer: bool
    is_exact: bool
    is_first_line_match: bool
    edit_similarity: float = Field(ge=0, le=1)
    identifier_f1: float | None = Field(ge=0, le=1)
    kept_chars: int = Field(ge=0)
    shown_chars: int = Field(ge=0)
    elapsed_ms: float = Field(ge=0)
    texts: Texts | None

    @property
    def is_right(self) -> bool:
        """What the tests of a gain count."""
        return self.is_first_line_match


class Run(_Record):
    """All holes of a run, and how it was made. ``overrides`` are the settings given on the command line."""

    format: Literal["starcoder-ls holes 1"] = FORMAT
    made: str
    version: str
    model: str
    device: str
    adapters: list[str]
    overrides: dict[str, Any]
    machine: str
    folders: list[str]
    files: int
    seed: int
    wanted_per_kind: int
    sources: dict[str, str] = {}
    """Name of each file that has holes -> hash of its text. Empty in results of earlier versions."""
    holes: list[ScoredHole]


def score_hole(
    hole: Hole, name: str, language: str, suggestion: str, elapsed_ms: float, has_texts: bool = True
) -> ScoredHole:
    """The scores of ``suggestion``. ``name`` is that of the file, the same on every machine."""
    truth, before = hole.middle, hole.source.text[: hole.start]
    text, context_start = hole.source.text, len(before) - len("\n".join(before.split("\n")[-_CONTEXT_LINES:]))
    line = before.rpartition("\n")[2]  # a secret may begin before the cursor
    texts = Texts(
        before=mask_secrets_in_range(text, context_start, hole.start),
        truth=mask_secrets_in_range(text, hole.start, hole.end),
        suggestion=mask_secrets_in_range(line + suggestion, len(line), len(line) + len(suggestion)),
    )
    return ScoredHole(
        id=identify(hole, name),
        kind=hole.kind,
        language=language,
        path=name,
        line=before.count("\n") + 1,
        has_answer=bool(suggestion),
        is_exact=score.is_exact(suggestion, truth),
        is_first_line_match=score.is_first_line_match(suggestion, truth),
        edit_similarity=score.edit_similarity(suggestion, truth),
        identifier_f1=score.identifier_f1(suggestion, truth),
        kept_chars=score.count_kept_chars(suggestion, truth),
        shown_chars=len(suggestion),
        elapsed_ms=round(elapsed_ms, 2),
        texts=texts if has_texts else None,
    )


def identify(hole: Hole, name: str) -> str:
    """The ``id`` of a hole in the file that results call ``name``."""
    return _hash_text(f"{name}\0{hole.kind}\0{hole.start}\0{hole.end}\0{hole.source.text}")


def hash_sources(holes: Iterable[Hole], name_of: Callable[[Source], str]) -> dict[str, str]:
    """The ``sources`` of a run."""
    return {name_of(hole.source): _hash_text(hole.source.text) for hole in holes}


def _hash_text(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def write_run(run: Run, file: Path) -> None:
    """Raises SettingsError if the file cannot be written."""
    write_text(run.model_dump_json(indent=1) + "\n", file)


def write_text(text: str, file: Path) -> None:
    """Raises SettingsError if the file cannot be written."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error


def read_run(file: Path) -> Run:
    """Raises SettingsError if the file cannot be read, is not a run, or is damaged."""
    try:
        tree = json.loads(decode_text(read_file(file, MAX_DOCUMENT_BYTES)))
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(
            f"{file} is not JSON ({error}). Give a file that `eval holes --json FILE` wrote."
        ) from error
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT:
        raise SettingsError(
            f"{file} is not a run of holes in the format {FORMAT!r}. Give a file that `eval holes --json FILE` of this "
            "version wrote."
        )
    try:
        return Run.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{file} is damaged: {field}: {first['msg']}. Make the run again.") from error
