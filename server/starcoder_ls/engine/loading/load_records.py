"""The hashes that local files had at their last load: those of files whose hash is recorded nowhere else.

A file that was replaced is reported once. One whose contents changed without its time of change is damaged. There is
one record for each folder, in the state folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starcoder_ls import user_folders
from starcoder_ls.atomic_files import write_atomically
from starcoder_ls.errors import ModelInvalid

MAX_RECORDS = 256
"""Folders; the records of those that were not loaded for the longest time are deleted."""

_MIN_AGE_NS = 2_000_000_000
"""Time of change before the load: a file that was written since can have the same one. FAT counts in 2 s."""


def records_folder() -> Path:
    return user_folders.state_folder() / "loads"


def record_name(path: Path) -> str:
    """The name of the file with what is recorded of ``path``."""
    return f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"


def file_state(status: os.stat_result) -> dict[str, int]:
    """What changes when a file is written or replaced: bytes, nanoseconds and the number of the inode."""
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}


class LoadRecord:
    """What is known of the files of ``folder`` from their last load."""

    def __init__(self, folder: Path) -> None:
        self._file = records_folder() / record_name(folder)
        self._known = _read(self._file)
        self._is_changed = False

    def compare(self, file: Path, is_always_hashed: bool, hash_file: Callable[[Path], str]) -> str:
        """A sentence if ``file`` differs from that of the last load, else "".

        Unless ``is_always_hashed``, it is read only if size, time of change or inode differ.
        Raises ModelInvalid for a damaged file, and what ``hash_file`` raises.
        """
        status, known = file.stat(), self._known.get(file.name)
        state = file_state(status)
        has_same_state = known is not None and all(known[key] == value for key, value in state.items())
        if has_same_state and not is_always_hashed:
            return ""
        digest, sentence = hash_file(file), ""
        if known is not None and known["hash"] != digest:
            if has_same_state and known["loaded_ns"] - status.st_mtime_ns > _MIN_AGE_NS:
                raise ModelInvalid(
                    f"{file} is damaged: its contents are not those of its last load, although it was not written to. "
                    f"Copy it again. If the file is right, delete {self._file}."
                )
            date = time.strftime("%Y-%m-%d", time.localtime(known["loaded_ns"] / 1e9))
            sentence = f"{file} is not the one of its last load ({date}). If you did not replace it, copy it again."
        if not has_same_state or sentence:
            self._known[file.name] = {"hash": digest, **state, "loaded_ns": time.time_ns()}
            self._is_changed = True
        return sentence

    def save(self) -> None:
        """Write the record if something in it is new. Raises OSError."""
        if not self._is_changed:
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._file, json.dumps(self._known).encode(), mode=0o600)
        records = sorted(self._file.parent.iterdir(), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for old in records[MAX_RECORDS:]:
            with contextlib.suppress(OSError):
                old.unlink()


def _read(file: Path) -> dict[str, Mapping[str, Any]]:
    """The record in ``file``; empty if there is none that can be read."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return {
            str(name): {"hash": str(entry["hash"])}
            | {key: int(entry[key]) for key in ("size", "mtime_ns", "inode", "loaded_ns")}
            for name, entry in record.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
