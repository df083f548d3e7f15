"""The versions of an adapter on this machine: dated folders, of which the link ``current`` names the one that serves.

A version appears by one rename when all of it is written, and ``current`` changes by another, so that a reader never
sees a part. History is kept in a file of one JSON object per line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starcoder_ls import user_folders
from starcoder_ls.atomic_files import write_atomically
from starcoder_ls.errors import SettingsError
from starcoder_ls.feedback_store import promotions
from starcoder_ls.feedback_store.promotions import CURRENT, MERGED, Promotion
from starcoder_ls.settings import ADAPTER_NAME

TRAINING_FILE, GATE_FILE, REPORT_FILE = "training.json", "gate.json", "report.html"
_VERSIONS, _RUN = "versions", "training"


@dataclass(frozen=True, slots=True)
class Version:
    """A finished version; ``training`` and ``gate`` are the contents of its JSON files, empty if there is none."""

    folder: Path
    training: dict[str, Any]
    gate: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def learned_files(self) -> list[str]:
        """The files that were trained on, with general code that was replayed."""
        return [*self.training["training_files"], *self.training.get("replay_files", ())]


class AdapterVersions:
    """All versions of the adapter ``name``. Raises SettingsError for a name that settings cannot have."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        if not re.fullmatch(ADAPTER_NAME, name):
            raise SettingsError(f"{name!r:.80} is no name for an adapter. Use letters, digits, `-` and `_`.")
        self.name = name
        self.folder = (root or user_folders.trained_adapters_folder()) / name

    @property
    def run_folder(self) -> Path:
        """Where a run that is not finished has its checkpoint."""
        return self.folder / _RUN

    @property
    def current_link(self) -> Path:
        """The path for settings, which stays the same whatever version serves."""
        return self.folder / CURRENT

    @property
    def merged_link(self) -> Path:
        """The path of the current version merged into its base."""
        return self.current_link / MERGED

    @contextmanager
    def new_version(self, now: datetime) -> Iterator[Path]:
        """A folder to write a version to; it becomes one when the block ends without an error. Raises OSError."""
        versions = self.folder / _VERSIONS
        versions.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".", dir=versions))
        try:
            yield partial
            stamp = f"{now:%Y-%m-%dT%H-%M-%S}"
            number = len(list(versions.glob(f"{stamp}*")))
            os.replace(partial, versions / (f"{stamp}.{number}" if number else stamp))
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def all_versions(self) -> list[Version]:
        """The versions, the oldest first."""
        folders = sorted(path for path in (self.folder / _VERSIONS).glob("[0-9]*") if path.is_dir())
        return [Version(path, read_json(path / TRAINING_FILE), read_json(path / GATE_FILE)) for path in folders]

    def find(self, version: str | None = None) -> Version:
        """The version of this name, None: the newest. Raises SettingsError if there is none."""
        versions = self.all_versions()
        found = [known for known in versions if version in (None, known.name)]
        if not found:
            if versions:
                names = ", ".join(known.name for known in versions)
                raise SettingsError(f"There is no version {version} of the adapter {self.name}. There are {names}.")
            raise SettingsError(
                f"There is no version of the adapter {self.name} yet. Train one with `starcoder-ls train adapter PATH "
                f"--name {self.name}`; `starcoder-ls train list` shows what there is."
            )
        return found[-1]

    def current(self) -> Version | None:
        """The version that serves."""
        target = self.current_link.resolve()
        return next((version for version in self.all_versions() if version.folder.resolve() == target), None)

    def promote(self, version: Version, now: datetime, is_merged: bool = False, watch_days: float = 0.0) -> None:
        """Let ``version`` serve. Running servers notice it. Raises OSError."""
        self._switch(version)
        Promotion(self.folder, now, version.name, is_merged=is_merged, watch_days=watch_days).append()

    def roll_back(self, now: datetime) -> Version | None:
        """Let what served before the current version serve again; without such a version, none serves. Raises OSError.

        What was deleted is skipped, as are promotions of the current version in the same form.
        """
        standing = promotions.served(promotions.read_history(self.folder))
        versions = self.all_versions()
        earlier = [entry for entry in standing if not entry.serves_the_same(standing[-1])]
        existing = [
            (version, entry.is_merged) for entry in earlier for version in versions if version.name == entry.version
        ]
        previous, is_merged = existing[-1] if existing else (None, False)
        self._switch(previous)
        name = previous.name if previous is not None else None
        Promotion(self.folder, now, name, is_rollback=True, is_merged=is_merged).append()
        return previous

    @property
    def is_merged(self) -> bool:
        """Whether the current version serves as a checkpoint into which it was merged."""
        history = promotions.read_history(self.folder)
        return bool(history) and history[-1].is_merged

    def _switch(self, version: Version | None) -> None:
        if version is None:
            self.current_link.unlink(missing_ok=True)
        else:
            temporary = self.folder / f".{CURRENT}-{os.getpid()}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(Path(_VERSIONS, version.name), target_is_directory=True)
            os.replace(temporary, self.current_link)


def adapter_names(root: Path | None = None) -> list[str]:
    """The adapters that have a version or an unfinished run."""
    folder = root or user_folders.trained_adapters_folder()
    return sorted(path.name for path in folder.glob("*") if path.is_dir() and re.fullmatch(ADAPTER_NAME, path.name))


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Replace ``file`` in one step. Raises OSError."""
    write_atomically(file, f"{json.dumps(value, indent=1)}\n".encode())


def utc_now() -> datetime:
    return datetime.now(UTC)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file that ``write_json`` wrote; empty if the file is missing or damaged."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
