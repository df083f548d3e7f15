"""When the files of a git repository were first and last committed, from one call of git.

A repository is untrusted: git gets options that keep its configuration from starting other programs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 120.0
_COMMIT_MARK = "\x01"
_COMMAND = (
    "git", "--no-pager", "-c", "core.quotepath=off", "-c", "log.showSignature=false", "-c", "core.fsmonitor=false",
    "log", "--no-renames", "--no-ext-diff", "--no-textconv", f"--format={_COMMIT_MARK}%ct", "--name-only",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CommitTimes:
    """Seconds since 1970 of the first and the last commit that changed a file."""

    first_s: int
    last_s: int


def read_git_times(folder: Path) -> Mapping[str, CommitTimes]:
    """Path relative to ``folder``, the top of a repository -> its times; empty without git or a repository."""
    if not (folder / ".git").exists():
        return {}
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        result = subprocess.run(
            _COMMAND, cwd=folder, env=environment, capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_log(result.stdout.decode(errors="replace"))


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
