"""A real Ray Serve for the slow lane. RAY_SERVE_COMMAND is the path of ``serve`` (``lib.ray_server``)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

COMMAND = os.environ.get("RAY_SERVE_COMMAND", "")
needs_ray = pytest.mark.skipif(not COMMAND, reason="RAY_SERVE_COMMAND does not name Ray's serve program (493 MB)")


def replica_processes() -> list[int]:
    """The processes of all replicas on this machine, as Ray names them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(b"ray::ServeReplica:"):
                found.append(int(folder.name))
    return found
