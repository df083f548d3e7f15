"""A daemon process with a scripted engine (tests/support/serve_fake.py), for tests of its clients."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from harness import FAKE_SERVER_COMMAND
from starcoder_ls.daemon import connect_or_spawn, message, runtime_dir
from starcoder_ls.lsp.framing import frame


def query_daemon(path: Path, query: str) -> dict[str, Any]:
    connection = runtime_dir.connect(path)
    assert connection is not None
    with connection:
        answer = connect_or_spawn.exchange(connection, {"query": query})
    assert answer is not None
    return answer


@contextlib.contextmanager
def running_daemon(path: Path, engine_options: dict[str, Any]) -> Iterator[None]:
    """A daemon at ``path`` whose engine is ready. It is killed at the end."""
    hello = {"window": 0, "folder": "/", "overlay": {}}
    command = [*FAKE_SERVER_COMMAND, json.dumps(engine_options), "--resident"]
    connection = connect_or_spawn.connect_or_spawn(path, command, hello)
    process_id = query_daemon(path, "status")["process"]
    try:
        connection.sendall(frame(message.encode(id=1, method="initialize", params={"capabilities": {}})))
        while query_daemon(path, "status")["phase"] != "ready":
            time.sleep(0.02)
        yield
    finally:
        connection.close()
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(process_id).kill()
        connect_or_spawn.reap_children()
