"""Reads files of users and repositories: the only module that opens them.

Decides what is read at all: regular files of limited size, whose real path is inside the workspace if there is one.
Opening never blocks.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

MAX_DOCUMENT_BYTES = 64 << 20
"""Of a file that the user names in a command, as large as the longest message of an editor."""

_BOM = b"\xef\xbb\xbf"
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # opening a FIFO must not wait for a writer
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


class FileRefused(OSError):
    """The file exists, but must not be read. ``strerror`` says why."""


def read_file(path: str | Path, max_bytes: int, roots: Sequence[Path] = ()) -> bytes:
    """The content of a regular file of at most ``max_bytes``; with ``roots``, only if its real path is in one of them.

    Raises FileRefused for any other file, OSError if it is missing or unreadable.
    """
    try:
        real_path = os.path.realpath(path) if roots else os.fspath(path)
        if roots and not is_inside(real_path, roots):
            raise FileRefused(errno.EACCES, "it is outside of the workspace")
        _require_regular(os.stat(real_path), max_bytes)  # before opening, which may already do something to a device
        descriptor = os.open(real_path, _FLAGS | (getattr(os, "O_NOFOLLOW", 0) if roots else 0))
    except ValueError as error:  # a NUL, or a character that no path of this system has
        raise FileRefused(errno.EINVAL, "its name is not valid") from error
    with open(descriptor, "rb") as file:
        _require_regular(os.fstat(descriptor), max_bytes)
        content = file.read(max_bytes + 1)
    _require_size(len(content), max_bytes)
    return content


def read_stream(stream: BinaryIO, max_bytes: int) -> bytes:
    """What is left in ``stream``, such as standard input. Raises FileRefused if it is more than ``max_bytes``."""
    content = stream.read(max_bytes + 1)
    _require_size(len(content), max_bytes)
    return content


def decode_text(content: bytes) -> str:
    """UTF-8 without its BOM, which is no text. Raises UnicodeDecodeError."""
    return content.decode("utf-8-sig")


def encode_text(text: str, with_bom: bool) -> bytes:
    """UTF-8, the inverse of ``decode_text``."""
    return (_BOM if with_bom else b"") + text.encode("utf-8")


def has_bom(content: bytes) -> bool:
    """Whether the file must get a BOM again when it is written."""
    return content.startswith(_BOM)


def is_inside(real_path: str, roots: Sequence[Path]) -> bool:
    """Whether ``real_path``, a path without links, is in one of the folders ``roots``, which may be links."""
    return any(real_path.startswith(os.path.join(os.path.realpath(root), "")) for root in roots)


def _require_regular(status: os.stat_result, max_bytes: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise FileRefused(errno.EINVAL, "it is not a regular file")
    _require_size(status.st_size, max_bytes)


def _require_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise FileRefused(errno.EFBIG, f"it is longer than {max_bytes >> 10} KB")
