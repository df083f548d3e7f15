"""Replaces files in one step: a reader, and a start after a crash, finds the old or the new contents."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(
    path: Path,
    content: bytes,
    mode: int | None = None,
    is_synced: bool = False,
    before_replacing: Callable[[], None] = lambda: None,
) -> None:
    """Replace the contents of ``path``, or create it in its folder, which must exist. A link stays a link.

    ``mode`` are the permissions of the new file; None: those of the replaced one, or those that new files get.
    ``is_synced``: the contents are on the disk before they replace the others. Raises OSError, and what
    ``before_replacing`` raises; then nothing was changed, and no temporary file is left.
    """
    target = path.resolve()
    if mode is None:
        with contextlib.suppress(FileNotFoundError):
            mode = target.stat().st_mode & 0o7777
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666 if mode is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        before_replacing()
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
