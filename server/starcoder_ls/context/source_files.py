"""Source files on disk: which there are in a folder, and their text.

Decides what is source code by name and by the first bytes. Symbolic links are not followed, and a file that cannot be
read is treated as missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.context.file_reader import read_file
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.languages.table import by_id, by_path
from starcoder_ls.notebooks.ipynb import is_notebook, script_of_notebook

MAX_FILE_BYTES = 256 * 1024
"""Longer files are generated, or data: 0.5 % of the Python files of a large environment."""

MAX_NOTEBOOK_BYTES = 1024 * 1024
"""Most of a notebook file is images. Parsing so much takes about 10 ms, in which no other thread runs."""

_MAX_MEAN_LINE_CHARS = 300  # more is minified code
_BINARY_CHECK_BYTES = 8192
_MAX_DEPTH = 40

_SKIPPED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "site-packages", "venv", "vendor", "third_party", "dist", "target"}
)


@dataclass(frozen=True, slots=True)
class Source:
    """A source file that was read. ``package`` is the folder or the distribution that it belongs to, ``path`` its path
    there."""

    package: str
    path: str
    text: str


def language_family(path: str, language: str = "") -> str:
    """The family of languages that can serve as context for each other; empty if it is not source code.

    By the file's name, or by the language id ``language`` if that does not tell it.
    """
    return by_path(path).family or by_id(language).family


def language_group(path: str, language: str = "") -> str:
    """The language family, or the language itself if it has none, such as Markdown; empty if it is unknown.

    Open documents of one group can serve as context for each other. Arguments as for ``language_family``.
    """
    return language_family(path, language) or by_path(path).id or by_id(language).id


def walk_source_files(root: Path, rules: IgnoreRules, with_notebooks: bool = False) -> Iterator[Path]:
    """The source files below ``root`` that ``rules`` do not exclude, those in upper folders first.

    With notebooks only if ``with_notebooks``: their text is that of their cells (``read_source_of_family``).
    """
    has_kind = is_indexed if with_notebooks else language_family
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
                    elif has_kind(entry.name) and rules.exclusion_reason(path) is None:
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
    text = normalize_line_ends(text)
    return text if _has_short_lines(text) else None


def normalize_line_ends(text: str) -> str:
    """``text`` with line feeds only."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_source_of_family(path: Path, family: str | None, roots: Sequence[Path] = ()) -> str | None:
    """As ``read_source``, but of a notebook the text of its cells as one script; None also for other languages.

    ``family`` is a language family; None stands for all.
    """
    if not is_notebook(path.name):
        return read_source(path, roots) if family in (None, language_family(path.name)) else None
    try:
        script = script_of_notebook(read_file(path, MAX_NOTEBOOK_BYTES, roots))
    except OSError:
        return None
    if script is None:
        return None
    text, language = script
    found = language_family("", language)
    is_fit = bool(found) if family is None else found == family
    return text if is_fit and len(text) <= MAX_FILE_BYTES and _has_short_lines(text) else None


def is_indexed(name: str) -> bool:
    """Whether a file of this name is source code or a notebook."""
    return bool(language_family(name)) or is_notebook(name)


def _has_short_lines(text: str) -> bool:
    return len(text) <= _MAX_MEAN_LINE_CHARS * (text.count("\n") + 1)
