"""What one run of holes has shown: each hole with its scores, as JSON that another run can be compared with.

Decides what of a hole is kept. Refuses to know how it was filled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from starcoder_ls.context.secrets import mask_secrets, mask_secrets_in_range
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import score
from starcoder_ls.evaluation.holes import Hole, Kind

FORMAT: Literal["starcoder-ls holes 1"] = "starcoder-ls holes 1"
_SHOWN_LINES = 4


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Texts(_Kept):
    """Code of the user's own, with strings masked that look like secrets: reports are sent around."""

    before: str
    """The last lines before the cursor."""
    truth: str
    suggestion: str


class Filled(_Kept):
    """One hole and what its suggestion was worth. ``id`` changes with the place and with any letter of the file."""

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


class Run(_Kept):
    """All of one run, and what it was made with. ``overrides`` are settings that the command line gave."""

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
    holes: list[Filled]


def filled(hole: Hole, name: str, language: str, suggestion: str, elapsed_ms: float, has_texts: bool = True) -> Filled:
    """``hole``, scored. ``name`` is its file's, the same on every machine."""
    truth, before = hole.middle, hole.source.text[: hole.start]
    place = f"{name}\0{hole.kind}\0{hole.start}\0{hole.end}\0{hole.source.text}"
    text, shown_from = hole.source.text, len(before) - len("\n".join(before.split("\n")[-_SHOWN_LINES:]))
    texts = Texts(
        before=mask_secrets_in_range(text, shown_from, hole.start),
        truth=mask_secrets_in_range(text, hole.start, hole.end),
        suggestion=mask_secrets(suggestion),
    )
    return Filled(
        id=hashlib.sha256(place.encode(errors="surrogatepass")).hexdigest()[:16],
        kind=hole.kind,
        language=language,
        path=name,
        line=before.count("\n") + 1,
        has_answer=bool(suggestion),
        is_exact=score.is_exact(suggestion, truth),
        is_first_line_match=score.is_first_line_match(suggestion, truth),
        edit_similarity=score.edit_similarity(suggestion, truth),
        identifier_f1=score.identifier_f1(suggestion, truth),
        kept_chars=score.kept_chars(suggestion, truth),
        shown_chars=len(suggestion),
        elapsed_ms=round(elapsed_ms, 2),
        texts=texts if has_texts else None,
    )


def write(run: Run, file: Path) -> None:
    """Raises SettingsError where the file cannot be written."""
    write_text(run.model_dump_json(indent=1) + "\n", file)


def write_text(text: str, file: Path) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error


def read(file: Path) -> Run:
    """Raises SettingsError for what is no run."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
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
        place = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{file} is damaged: {place}: {first['msg']}. Make the run again.") from error
