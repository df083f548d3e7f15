"""Files that only the user of this process may read: tokens and secrets."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from starcoder_ls.errors import SettingsError

_MAX_BYTES = 4 << 20


def is_private(status: os.stat_result) -> bool:
    """Whether only this user can read or write a file with this status. On Windows, where modes say nothing: always."""
    if sys.platform == "win32":
        return True
    return not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and status.st_uid == os.getuid()


def read_private_text(file: Path) -> str:
    """Raises SettingsError if others can read or have written it, or it is no text."""
    try:
        status = file.stat()
        if not is_private(status):
            raise SettingsError(f"Others can read {file}. Make it yours alone: chmod 600 {file}")
        if status.st_size > _MAX_BYTES:
            raise SettingsError(f"{file} has more than {_MAX_BYTES >> 20} MB.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{file} cannot be read: {reason}.") from error


def append_line(file: Path, line: str) -> None:
    """Make the file if it does not exist, for this user only. Raises SettingsError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as opened:
            opened.write(f"{line}\n")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error
