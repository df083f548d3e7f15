"""An environment in which servers do not find the daemon, settings or statistics of the user who runs the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def isolated_environment() -> Iterator[None]:
    """Point this process and its children to private runtime, state and settings paths; stop their daemon at the end.

    Contexts can be nested: the inner one is isolated from the outer one.
    """
    with tempfile.TemporaryDirectory(prefix="starcoder-") as name:  # short: a socket's path has at most 100 bytes
        folder = Path(name)
        (folder / "settings.toml").touch()
        paths = {"RUNTIME": folder / "run", "STATE": folder / "state", "SETTINGS": folder / "settings.toml"}
        environment = dict(os.environ)
        os.environ.update({f"STARCODER_LS_{key}": str(path) for key, path in paths.items()})
        try:
            yield
        finally:
            if any(folder.glob("run/*.sock")):
                command = [sys.executable, "-m", "starcoder_ls", "stop"]
                stopped = subprocess.run(command, capture_output=True, text=True)
                assert stopped.returncode == 0, stopped.stderr
            os.environ.clear()
            os.environ.update(environment)
