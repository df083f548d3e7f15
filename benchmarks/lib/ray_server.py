"""The application of deploy/ray on a real Ray Serve, with the bundled model.

The environment of ``serve`` has deploy/ray/requirements.txt and the packages of this program; the program itself is
that of this tree.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lib.started_server import wait_until_healthy

URL = "http://127.0.0.1:8000"
START_TIMEOUT_S = 600.0
_ROOT = Path(__file__).parents[2]
PATHS = {"PYTHONPATH": os.pathsep.join(str(_ROOT / name) for name in ("server", "deploy/ray", "benchmarks"))}
"""Where processes of the replicas find the modules of this tree."""


@contextmanager
def running_ray(
    serve: str,
    folder: Path,
    token: str,
    application: str = "ray_app:build",
    variables: Mapping[str, str] | None = None,
    **options: object,
) -> Iterator[subprocess.Popen[bytes]]:
    """The process of ``serve run``, whose replicas are ready. ``options`` are those of the application.

    ``serve`` is Ray's program, ``variables`` are added to its environment. Raises RuntimeError if it does not start.
    """
    token_file, settings_file, log = folder / "token", folder / "settings.toml", folder / "log"
    token_file.write_text(token)
    token_file.chmod(0o600)
    settings_file.write_text("[model]\nthreads = 1\n")
    arguments = {"token_file": token_file, "settings_file": settings_file, "cpus": 0.5} | options
    command = [serve, "run", application, *(f"{name}={value}" for name, value in arguments.items())]
    environment = os.environ | PATHS | {"RAY_USAGE_STATS_ENABLED": "0"} | dict(variables or {})
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        wait_until_healthy(URL, process, log, START_TIMEOUT_S)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(START_TIMEOUT_S)
