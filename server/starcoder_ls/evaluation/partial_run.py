"""The answers of a run that has not ended, so that the same command continues it.

They are lines of JSON in a file beside the results: first what the run was made with, then one answer each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from starcoder_ls import private_files
from starcoder_ls.context.file_reader import MAX_DOCUMENT_BYTES, decode_text, read_file
from starcoder_ls.errors import SettingsError

SUFFIX = ".partial"

Answer = TypeVar("Answer")


def remove(results: Path) -> None:
    """Remove what is kept for ``results``, which is written now. Raises OSError."""
    _partial_file(results).unlink(missing_ok=True)


def _partial_file(results: Path) -> Path:
    return results.with_name(results.name + SUFFIX)


class PartialRun(Generic[Answer]):
    """The file for the results file ``results``; None: nothing is kept.

    ``answer_type`` is the type of an answer as pydantic knows it, such as a model, a dataclass or a tuple of them.
    ``conditions`` are what answers depend on besides their key: an earlier run under others is not continued.
    """

    def __init__(self, results: Path | None, conditions: Mapping[str, Any], answer_type: Any) -> None:
        self.file = results and _partial_file(results)
        self._conditions, self._type = dict(conditions), TypeAdapter[Answer](answer_type)
        self._is_continued = self._ends_in_line = False
        self.changed: list[str] = []
        """The conditions in which an earlier run, which is not continued, differs."""
        self.answers = self._read()
        """Those of the earlier run and those that were added, by key."""

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer. Raises SettingsError if the file cannot be written."""
        if self.file is None:
            return
        line = json.dumps([key, self._type.dump_python(answer, mode="json")])
        if not self._is_continued:
            self._begin(self.file)
        elif self._ends_in_line:
            line = f"\n{line}"
        private_files.append_line(self.file, line)
        self._ends_in_line = False
        self.answers[key] = answer

    def _begin(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(f"{file} cannot be replaced: {error.strerror}.") from error
        private_files.append_line(file, json.dumps(self._conditions, sort_keys=True))
        self._is_continued = True

    def _read(self) -> dict[str, Answer]:
        """A line that was not written to its end is left out. Raises SettingsError if the file cannot be read."""
        if self.file is None or not self.file.is_file():
            return {}
        try:
            text = decode_text(read_file(self.file, MAX_DOCUMENT_BYTES))
        except (OSError, ValueError) as error:
            raise SettingsError(f"{self.file} cannot be read: {error}. Remove it to begin the run again.") from error
        head, *lines = text.split("\n")
        self.changed = self._differences(head)
        if self.changed:
            return {}
        self._is_continued, self._ends_in_line = True, not text.endswith("\n")
        answers = {}
        for line in lines:
            try:
                key, answer = json.loads(line)
                answers[str(key)] = self._type.validate_python(answer)
            except (ValueError, TypeError):  # ValidationError is a ValueError
                continue
        return answers

    def _differences(self, head: str) -> list[str]:
        """The conditions in which the first line of a file differs from those of this run."""
        try:
            earlier = json.loads(head)
        except ValueError:
            earlier = None
        if not isinstance(earlier, dict):
            return sorted(self._conditions)
        now = json.loads(json.dumps(self._conditions))
        return sorted(key for key in now.keys() | earlier.keys() if now.get(key) != earlier.get(key))
