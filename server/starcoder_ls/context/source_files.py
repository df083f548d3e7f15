"""Source files on disk: which there are in a folder, and their text where it is worth reading.

Decides what is source code, by its name and its first bytes. Refuses to follow links, and to fail: what cannot be read
is no file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.languages.table import by_path

MOST_BYTES = 256 * 1024
"""Longer files are generated, or data: 0.5 % of the Python files of a large environment."""

_MOST_MEAN_LINE_CHARS = 300  # minified
_LOOKED_AT_BYTES = 8192
_MOST_DEPTH = 40

_NEVER = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "vendor", "third_party", "dist", "target"})


def family_of(path: str) -> str:
    """The family of languages that can serve as context for each other; empty for what is no source code."""
    return by_path(path).family


def walked(root: Path, rules: IgnoreRules) -> Iterator[Path]:
    """The source files below ``root`` that ``rules`` leave, shallow ones first."""
    level = [root]
    for _ in range(_MOST_DEPTH):
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
                        is_hidden = entry.name.startswith(".") or entry.name in _NEVER
                        if not is_hidden and rules.reason(path, is_folder=True) is None:
                            deeper.append(path)
                    elif family_of(entry.name) and rules.reason(path) is None:
                        yield path
                except OSError:
                    continue
        if not deeper:
            return
        level = deeper


def text_of(path: Path) -> str | None:
    """The text of a regular file; None if it is gone, closed to us, too long, binary or minified."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:  # no pipe makes us wait
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                return None
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError):
        return None
    if len(raw) > MOST_BYTES or b"\0" in raw[:_LOOKED_AT_BYTES]:
        return None
    text = raw.decode("utf-8-sig", errors="replace")
    if text.count("\ufffd") * 100 > len(text):
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if len(text) <= _MOST_MEAN_LINE_CHARS * (text.count("\n") + 1) else None
