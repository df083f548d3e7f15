"""Source files on disk: which there are in a folder, and their text.

Decides what is source code by name and by the first bytes. Symbolic links are not followed, and a file that cannot be
read is treated as missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from starcoder_ls.context.file_reader import read_file
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.languages.table import by_path

MAX_FILE_BYTES = 256 * 1024
"""Longer files are generated, or data: 0.5 % of the Python files of a large environment."""

_MAX_MEAN_LINE_CHARS = 300  # more is minified code
_BINARY_CHECK_BYTES = 8192
_MAX_DEPTH = 40

_SKIPPED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "site-packages", "venv", "vendor", "third_party", "dist", "target"}
)


def language_family(path: str) -> str:
    """The family of languages that can serve as context for each other; empty if ``path`` is not source code."""
    return by_path(path).family


def walk_source_files(root: Path, rules: IgnoreRules) -> Iterator[Path]:
    """The source files below ``root`` that ``rules`` do not exclude, those in upper folders first."""
    level = [root]
    for _ in range(_MAX_DEPTH):
        deeper: list[Path] = []
        for folder in level:
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                path = folder / entry.name
                try:
                    if entry.is_symlink():
                        continue
                    if entry.is_dir():
                        is_skipped = is_skipped_folder(entry.name)
                        if not is_skipped and rules.exclusion_reason(path, is_folder=True) is None:
                            deeper.append(path)
                    elif language_family(entry.name) and rules.exclusion_reason(path) is None:
                        yield path
                except OSError:
                    continue
        if not deeper:
            return
        level = deeper


def is_skipped_folder(name: str) -> bool:
    """Whether nothing in a folder of this name is source code to read: hidden, installed or built."""
    return name.startswith(".") or name in _SKIPPED_FOLDERS


def read_source(path: Path, roots: Sequence[Path] = ()) -> str | None:
    """The text of a file with line feeds; None if it is missing, unreadable, too long, binary or minified.

    With ``roots``, also if its real path is in none of these folders.
    """
    try:
        raw = read_file(path, MAX_FILE_BYTES, roots)
    except OSError:
        return None
    return decode_source(raw)


def decode_source(raw: bytes) -> str | None:
    """The text in the content of a file, with line feeds; None if it is binary or minified."""
    if b"\0" in raw[:_BINARY_CHECK_BYTES]:
        return None
    text = raw.decode("utf-8-sig", errors="replace")
    if text.count("\ufffd") * 100 > len(text):
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if len(text) <= _MAX_MEAN_LINE_CHARS * (text.count("\n") + 1) else None
