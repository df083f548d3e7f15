"""When the files of a git repository were first and last committed, from one call of git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.git_command import read_log

_COMMIT_MARK = "\x01"
_MAX_BYTES = 256 << 20
_ARGUMENTS = ("--no-renames", "--no-ext-diff", "--no-textconv", f"--format={_COMMIT_MARK}%ct", "--name-only")


@dataclass(frozen=True, slots=True)
class CommitTimes:
    """Seconds since 1970 of the first and the last commit that changed a file."""

    first_s: int
    last_s: int


def read_git_times(folder: Path) -> Mapping[str, CommitTimes]:
    """Path relative to ``folder``, the top of a repository -> its times; empty without git or a repository."""
    if not (folder / ".git").exists():
        return {}
    try:
        return parse_log(read_log(folder, _ARGUMENTS, _MAX_BYTES))
    except SettingsError:
        return {}


def parse_log(log: str) -> Mapping[str, CommitTimes]:
    """The times in the output of git, which lists the newest commit first."""
    times: dict[str, CommitTimes] = {}
    time_s = 0
    for line in log.splitlines():
        if line.startswith(_COMMIT_MARK):
            time_s = int(line[1:])
        elif line:
            known = times.get(line, CommitTimes(time_s, time_s))
            times[line] = CommitTimes(min(known.first_s, time_s), max(known.last_s, time_s))
    return times
