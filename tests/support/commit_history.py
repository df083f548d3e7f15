"""A git repository with a history of edits."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

START_S = 1_767_225_600
"""2026-01-01T00:00:00Z, the time of the first commit; each later one is an hour after the one before."""


class History:
    """Commits files to ``folder``, which becomes a repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._commits = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._git("init", "-q", "-b", "main")

    def commit(self, subject: str, files: Mapping[str, str]) -> str:
        """Write ``files`` and commit them; the id of the commit."""
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(text.encode())
        self._git("add", "-f", *files)
        self._git("commit", "-q", "--allow-empty", "-m", subject)
        self._commits += 1
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        date = f"@{START_S + 3600 * self._commits} +0000"
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        environment = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "PATH": "/usr/bin:/bin"}
        environment |= {"HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def numbered_edits(folder: Path, commits: int) -> History:
    """A first commit of a file for each, and ``commits`` that each change a line of one."""
    history = History(folder)
    texts = {f"shop/item{number}.py": _module(number, "price") for number in range(commits)}
    history.commit("Add the items of the shop", texts)
    for number in range(commits):
        name = f"shop/item{number}.py"
        history.commit(f"Item {number}: compute with cost{number}", {name: _module(number, f"cost{number}")})
    return history


def _module(number: int, attribute: str) -> str:
    return (
        f'"""Item {number}."""\n\n\ndef total{number}(item, amount):\n    count = amount + {number}\n'
        f"    return item.{attribute} * count\n\n\ndef label{number}(item):\n    return item.name.upper()\n"
    )
