"""Runs git in a repository to read its history: the only module that starts git on a user's repository.

A repository is untrusted, and its history is private. Options keep its configuration from starting other programs, and
git from fetching missing objects over the network. Time and output are limited.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from starcoder_ls.errors import SettingsError

TIMEOUT_S = 120.0
MAX_OUTPUT_BYTES = 64 << 20

_OPTIONS = (
    "--no-pager", "--no-replace-objects", "--literal-pathspecs", "-c", "core.quotepath=off",
    "-c", "log.showSignature=false", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}",
    "-c", "protocol.allow=never",
)  # fmt: skip
_VARIABLES = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
_OTHER_REPOSITORY = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"}
    | {"GIT_ALTERNATE_OBJECT_DIRECTORIES"}
)
"""Variables of a git hook, with which git would read another repository than that of the folder."""


def run_git(
    folder: Path,
    arguments: Sequence[str],
    stdin: bytes = b"",
    max_bytes: int = MAX_OUTPUT_BYTES,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """The first ``max_bytes`` of what git writes in ``folder``. Raises SettingsError if git fails or takes too long."""
    environment = {name: value for name, value in os.environ.items() if name not in _OTHER_REPOSITORY} | _VARIABLES
    with tempfile.TemporaryFile() as source:  # not a pipe, which could fill while git waits for a reader of its output
        source.write(stdin)
        source.seek(0)
        try:
            process = subprocess.Popen(
                ["git", *_OPTIONS, *arguments],
                cwd=folder, env=environment, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            raise SettingsError(f"git cannot be started in {folder}: {error.strerror}. Install git.") from error
        with process:
            output, is_cut, exit_code = _read(process, max_bytes, timeout_s)
    if exit_code and not is_cut:
        raise SettingsError(
            f"git cannot read the history of {folder} (exit code {exit_code}). Run `git log` there; it says why."
        )
    return output


def read_log(folder: Path, arguments: Sequence[str], max_bytes: int = MAX_OUTPUT_BYTES) -> str:
    """The whole lines in the output of `git log` with ``arguments``. Raises SettingsError, as ``run_git``."""
    output = run_git(folder, ("log", *arguments), max_bytes=max_bytes)
    return output[: output.rfind(b"\n") + 1].decode(errors="replace")


def _read(process: subprocess.Popen[bytes], max_bytes: int, timeout_s: float) -> tuple[bytes, bool, int]:
    """The output, whether it was longer, and the exit code. The process has ended afterwards."""
    assert process.stdout is not None
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        output = process.stdout.read(max_bytes)
        is_cut = bool(process.stdout.read(1))
        if is_cut:
            process.kill()
        return output, is_cut, process.wait()
    finally:
        timer.cancel()
        process.kill()
