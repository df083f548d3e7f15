"""A real server process on a real port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND

Start = Callable[[dict[str, Any]], "Running"]


class Running:
    """The process, its port and its API key."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.host, self.port, token_file = json.loads(process.stdout.readline())
        self.headers = {"Authorization": f"Bearer {Path(token_file).read_text()}"}

    @contextmanager
    def post(self, body: dict[str, Any]) -> Iterator[http.client.HTTPConnection]:
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=60)) as connection:
            connection.request("POST", "/v1/completions", json.dumps(body), self.headers)
            yield connection

    def wait_until_ready(self) -> None:
        status = 503
        while status != 200:
            with closing(http.client.HTTPConnection(self.host, self.port, timeout=60)) as connection:
                connection.request("GET", "/health")
                with connection.getresponse() as response:
                    status = response.status


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def make(options: dict[str, Any]) -> Running:
        command = [*FAKE_SERVER_COMMAND, json.dumps(options), "--http"]
        environment = os.environ | {"STARCODER_LS_STATE": str(tmp_path)}
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return Running(processes[-1])

    yield make
    for process in processes:
        process.kill()
        process.communicate()


def test_disconnected_client_ends_its_generation(start: Start) -> None:
    server = start({"scripts": [["x "] * 9000], "token_s": 0.01})
    server.wait_until_ready()
    for is_streaming in (True, False):
        with server.post({"prompt": "a", "max_tokens": 4096, "stream": is_streaming}) as connection:
            if is_streaming:
                with connection.getresponse() as response:
                    response.read(1)
    # Its engine runs one request after another: 2 * 4,096 tokens of 10 ms would come before this one.
    with server.post({"prompt": "b", "max_tokens": 3}) as connection, connection.getresponse() as response:
        answer = json.loads(response.read())
    assert answer["usage"]["completion_tokens"] == 3
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
