"""The engine client with tests/support/serve_fake.py as daemon: it must answer as the engine itself does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from fake_daemon import query_daemon, running_daemon
from starcoder_ls.daemon import runtime_dir
from starcoder_ls.daemon.engine_client import EngineClient
from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import Chunk, FinishReason, Request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a daemon whose model is ready."""
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / "run"))
    socket_path = runtime_dir.socket_path("x")
    with running_daemon(socket_path, {"token_s": 0.002, "scripts": [["a", "b", "c", "d"]]}):
        yield socket_path


def generate(engine: EngineClient, request: Request) -> list[Chunk]:
    async def run() -> list[Chunk]:
        async with aclosing(engine.stream(request)) as chunks:
            return [chunk async for chunk in chunks]

    return asyncio.run(run())


def test_client_counts_and_generates_and_applies_the_stop_rule(path: Path) -> None:
    engine = EngineClient(path)
    assert engine.count_tokens("x" * 8) == 2
    chunks = generate(engine, Request(("p",), 9))
    assert "".join(chunk.text for chunk in chunks) == "abcd"
    assert chunks[-1].finish_reason is FinishReason.END_OF_TEXT
    assert chunks[-1].timings is not None
    chunks = generate(engine, Request(("p",), 9, stop=lambda text: 2 if len(text) >= 3 else None))
    assert {chunk.finish_reason for chunk in chunks} <= {None, FinishReason.STOP_RULE}
    assert "".join(chunk.text for chunk in chunks) == "ab"
    assert chunks[-1].timings is not None


def test_daemon_limits_the_first_message_but_not_a_commands_text_to_64_kb(path: Path) -> None:
    assert EngineClient(path).count_tokens("x" * 800_000) == 200_000
    connection = runtime_dir.connect(path)
    assert connection is not None
    with connection:
        connection.settimeout(60)
        connection.sendall(b"Content-Length: 65537\r\n\r\n{")
        assert connection.recv(1) == b""


def test_generation_after_the_daemon_has_exited_raises_engine_closed(path: Path) -> None:
    engine = EngineClient(path)
    query_daemon(path, "stop")
    while os.path.exists(path):
        time.sleep(0.02)
    with pytest.raises(EngineClosed, match="Run the command again"):
        generate(engine, Request(("p",), 9))


def test_command_and_window_use_the_same_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text('[model]\nthreads = 1\nname = "here"\nmax_memory = {cpu = "9GiB"}\n')
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(tmp_path / "settings.toml"))
    code = (
        "from starcoder_ls import settings\n"
        "from starcoder_ls.daemon import engine_client, launch_options, runtime_dir\n"
        "model = launch_options.launch_options(['--device', 'cpu']).model({})\n"
        "config = settings.load({'model': {'device': 'cpu'}})\n"
        "window_path = runtime_dir.socket_path(runtime_dir.daemon_key(runtime_dir.DAEMON_COMMAND, model))\n"
        "assert engine_client.daemon_socket_path(config) == window_path\n"
        "assert model == {'threads': 1, 'name': %r, 'max_memory': {'cpu': '9GiB'}, 'device': 'cpu'}, model"
    )
    subprocess.run([sys.executable, "-c", code % str(tmp_path / "here")], check=True)
