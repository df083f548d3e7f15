"""A git repository whose files tests commit."""

from __future__ import annotations

import subprocess
from pathlib import Path


class GitHistory:
    """The repository in ``folder``, which is created."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder)}
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True)

    def commit(self, subject: str, texts: dict[str, str]) -> None:
        """Write ``texts`` by path and commit all files."""
        for name, text in texts.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)
