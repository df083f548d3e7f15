"""The answers of a run that has not ended, so that the same command continues it.

They are lines of JSON in a file beside the results: first what the run was made with, then one hole each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from starcoder_ls.context.file_reader import MAX_DOCUMENT_BYTES, decode_text, read_file
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation.results import FORMAT, ScoredHole

SUFFIX = ".partial"


def remove(results: Path) -> None:
    """Remove what is kept for ``results``, which is written now. Raises OSError."""
    _partial_file(results).unlink(missing_ok=True)


def _partial_file(results: Path) -> Path:
    return results.with_name(results.name + SUFFIX)


class PartialRun:
    """The file for the results file ``results``; None: nothing is kept.

    ``conditions`` are what answers depend on besides the hole: an earlier run under others is not continued.
    """

    def __init__(self, results: Path | None, conditions: Mapping[str, Any]) -> None:
        self.file = results and _partial_file(results)
        self._head = json.dumps({"format": f"{FORMAT}, unfinished", **conditions}, sort_keys=True)
        self.holes = self._read()
        """Holes that are filled already, by id."""

    def add(self, hole: ScoredHole) -> None:
        """Keep a filled hole. Raises SettingsError if the file cannot be written."""
        if self.file is None:
            return
        text = f"{hole.model_dump_json()}\n"
        if not self.holes:
            text = f"{self._head}\n{text}"
        try:
            with self.file.open("a" if self.holes else "w", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise SettingsError(f"{self.file} cannot be written: {error.strerror}.") from error
        self.holes[hole.id] = hole

    def _read(self) -> dict[str, ScoredHole]:
        """A line that was not written to its end is left out. Raises SettingsError if the file cannot be read."""
        if self.file is None or not self.file.is_file():
            return {}
        try:
            head, *lines = decode_text(read_file(self.file, MAX_DOCUMENT_BYTES)).split("\n")
        except (OSError, ValueError) as error:
            raise SettingsError(f"{self.file} cannot be read: {error}. Remove it to begin the run again.") from error
        if head != self._head:
            return {}
        holes = {}
        for line in lines:
            try:
                hole = ScoredHole.model_validate_json(line)
            except ValidationError:
                continue
            holes[hole.id] = hole
        return holes
