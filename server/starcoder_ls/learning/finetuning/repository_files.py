"""The files of the user's repositories that an adapter may be trained on, with secrets masked.

Decides what is left out: what prompts leave out too, generated, vendored and tiny files, and near-duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starcoder_ls.context.ignore_files import find_repository
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.context.source_files import language_family, read_source, walk_source_files
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import sources
from starcoder_ls.learning.finetuning.git_times import CommitTimes, read_git_times
from starcoder_ls.learning.finetuning.licence_headers import find_licence
from starcoder_ls.learning.finetuning.near_duplicates import find_near_duplicates

MIN_CHARS = 200
"""A shorter file has no code around a hole."""


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file to learn from. ``name`` is relative to the workspace folder ``folder``; ``text`` has masked secrets.

    ``licence`` is that of its header, or "". ``times`` is None for a file that git does not know.
    """

    folder: Path
    name: str
    text: str
    licence: str = ""
    times: CommitTimes | None = None

    @property
    def path(self) -> Path:
        return self.folder / self.name


@dataclass(slots=True)
class FoundFiles:
    """``left_out`` counts files by the reason for which they are not used."""

    files: list[CodeFile] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def collect_files(paths: Sequence[Path], ignored: Sequence[str] = (), since_s: float | None = None) -> FoundFiles:
    """The usable source files in ``paths`` (files and folders).

    ``ignored`` are the patterns of `context.ignore`. With ``since_s``, seconds since 1970, only files that git says
    were changed since. Raises SettingsError if a path does not exist, must not reach a prompt, or nothing is left.
    """
    found = FoundFiles()
    roots = list(_existing(paths))
    folders = sorted({find_repository(root if root.is_dir() else root.parent) for root in roots})
    rules = IgnoreRules(folders, ignored)
    times = {folder: read_git_times(folder) for folder in folders}
    for path in dict.fromkeys(file for root in roots for file in _source_files(root, rules)):
        folder = max((folder for folder in folders if path.is_relative_to(folder)), key=lambda f: len(f.parts))
        file = _read(path, folder, times[folder], found.left_out)
        if file is not None and since_s is not None and (file.times is None or file.times.last_s < since_s):
            found.left_out["not changed since the given date"] += 1
        elif file is not None:
            found.files.append(file)
    duplicates = find_near_duplicates([file.text for file in found.files])
    if duplicates:
        found.left_out["nearly equal to another file"] = len(duplicates)
        found.files = [file for number, file in enumerate(found.files) if number not in duplicates]
    if not found.files:
        raise SettingsError(
            f"There are no source files in {', '.join(map(str, paths))} to learn from{_reasons(found.left_out)}. "
            "Ignored files and those that look like secrets are never used: name another folder, or look at "
            ".gitignore, .starcoderignore and `context.ignore`."
        )
    return found


def _existing(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise SettingsError(f"There is no file or folder {path}.")
        yield path.resolve()


def _source_files(path: Path, rules: IgnoreRules) -> Iterator[Path]:
    """Raises SettingsError for a single file that must not reach a prompt."""
    if path.is_dir():
        yield from walk_source_files(path, rules)
    elif (reason := rules.exclusion_reason(path)) is not None:
        raise SettingsError(f"{path} cannot be learned from: {reason}, so that it never reaches a prompt.")
    elif language_family(path.name):
        yield path


def _read(path: Path, folder: Path, times: Mapping[str, CommitTimes], left_out: Counter[str]) -> CodeFile | None:
    """None if the file is not used; the reason is counted."""
    name = path.relative_to(folder).as_posix()
    if sources.is_vendored(Path(name)):
        left_out["vendored"] += 1
        return None
    text = read_source(path, [folder])
    if text is None:
        left_out["unreadable, binary, minified or too long"] += 1
    elif len(text) < MIN_CHARS:
        left_out["too short"] += 1
    elif sources.is_generated(text):
        left_out["generated"] += 1
    else:
        return CodeFile(folder, name, mask_secrets(text), find_licence(text), times.get(name))
    return None


def _reasons(left_out: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count} {reason}' for reason, count in left_out.items())})" if left_out else ""
