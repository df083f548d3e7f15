"""An environment in which a server meets nothing of whoever runs it: no resident process, no settings, no statistics.

Decides where such a server keeps what is its own, and that no resident process outlives it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """For this process and those it starts. Nested: alone from the outer one, too."""
    with tempfile.TemporaryDirectory(prefix="starcoder-") as name:  # short: a socket's path has at most 100 bytes
        place = Path(name)
        (place / "settings.toml").touch()
        own = {"RUNTIME": place / "run", "STATE": place / "state", "SETTINGS": place / "settings.toml"}
        before = dict(os.environ)
        os.environ.update({f"STARCODER_LS_{which}": str(path) for which, path in own.items()})
        try:
            yield
        finally:
            if any(place.glob("run/*.sock")):
                stop = [sys.executable, "-m", "starcoder_ls", "stop"]
                told = subprocess.run(stop, capture_output=True, text=True)
                assert told.returncode == 0, told.stderr
            os.environ.clear()
            os.environ.update(before)
