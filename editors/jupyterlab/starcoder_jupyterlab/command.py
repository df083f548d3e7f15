"""Finds the program that serves completions: the configured command, else ``starcoder-ls`` where it usually is."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

NAME = "starcoder-ls"


def find_command(configured: Sequence[str], search_path: str | None = None) -> list[str] | None:
    """The command with its arguments; None if the program is in none of the folders.

    The folders are that of this Python, those of the PATH (or of ``search_path``), and the one of pipx and uv.
    """
    if configured:
        return list(configured)
    user_folder = os.environ.get("PIPX_BIN_DIR") or str(Path.home() / ".local" / "bin")
    on_path = os.environ.get("PATH", "") if search_path is None else search_path
    folders = (str(Path(sys.executable).parent), on_path, user_folder)
    program = shutil.which(NAME, path=os.pathsep.join(folder for folder in folders if folder))
    return None if program is None else [program, "serve"]
