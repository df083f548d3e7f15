"""Files that only the user of this process may read: tokens and secrets."""

from __future__ import annotations

import contextlib
import os
import secrets
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


def read_private_text(file: Path, name: str = "") -> str:
    """Messages call the file ``name``, such as the setting that has its path.

    Raises SettingsError if others can read or have written it, or it is no text.
    """
    label = _label(file, name)
    try:
        status = file.stat()
        if not is_private(status):
            raise SettingsError(
                f"Others can use {label}. Make it yours alone: chmod 600 {file}. Replace what is in it if others may "
                "have read it."
            )
        if status.st_size > _MAX_BYTES:
            raise SettingsError(f"{label} has more than {_MAX_BYTES >> 20} MB.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"{label} cannot be read: {reason}.") from error


def read_token(file: Path, name: str) -> str:
    """The token in ``file``, which is not empty. Raises SettingsError as ``read_private_text`` does."""
    token = read_private_text(file, name).strip()
    if not token:
        raise SettingsError(f"{_label(file, name)} has no token. Write the token into it, on one line.")
    return token


def read_or_create_token(file: Path, name: str) -> str:
    """A token that is made at the first call and stays the same. Raises SettingsError."""
    try:
        with contextlib.suppress(FileExistsError):
            create_private_file(file, secrets.token_hex(32))
    except OSError as error:
        raise SettingsError(f"{_label(file, name)} cannot be written: {error.strerror}.") from error
    return read_token(file, name)


def create_private_file(file: Path, text: str) -> None:
    """Write ``text`` to a new file that only this user can read from its creation on, as well as its folder if that is
    new. Raises FileExistsError, and OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as created:
        created.write(text)


def append_line(file: Path, line: str) -> None:
    """Make the file if it does not exist, for this user only. Raises SettingsError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as opened:
            opened.write(f"{line}\n")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error


def _label(file: Path, name: str) -> str:
    return f"{name}, {file}," if name else str(file)
