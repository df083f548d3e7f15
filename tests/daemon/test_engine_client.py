"""A borrowed engine against tests/serve_fake.py as a resident process: it must say what the engine itself says."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from fakes import SCRIPTED_SETTINGS
from harness import FAKE_SERVER_COMMAND
from starcoder_ls.daemon import connect_or_spawn, engine_client, runtime_dir
from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import Chunk, Engine, FinishReason, Request
from starcoder_ls.settings import Adapter, Settings, Sharing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of a process whose model is ready."""
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / "run"))
    found = runtime_dir.socket_path("x")
    hello = {"window": 0, "folder": "/", "overlay": {}}
    connection = connect_or_spawn.connect_or_spawn(
        found, [*FAKE_SERVER_COMMAND, '{"token_s": 0.002, "scripts": [["a", "b", "c", "d"]]}', "--resident"], hello
    )
    process = told(found, "status")["process"]
    initialize = b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}'
    connection.sendall(connect_or_spawn.frame(initialize))
    limit = time.monotonic() + 10
    while engine_client.warm(SCRIPTED_SETTINGS, found) is None:
        assert time.monotonic() < limit
        time.sleep(0.02)
    yield found
    connection.close()
    psutil.Process(process).kill()
    connect_or_spawn.reap()


def told(path: Path, question: str) -> dict[str, Any]:
    connection = runtime_dir.connected(path)
    assert connection is not None
    with connection:
        answer = connect_or_spawn.greeted(connection, {"ask": question})
    assert answer is not None
    return answer


def said(engine: Engine, request: Request) -> list[Chunk]:
    async def run() -> list[Chunk]:
        stream: Any = engine.stream(request)
        async with aclosing(stream) as chunks:
            return [chunk async for chunk in chunks]

    return asyncio.run(run())


def test_it_counts_and_generates_and_keeps_its_own_stop_rule(path: Path) -> None:
    engine = engine_client.warm(SCRIPTED_SETTINGS, path)
    assert engine is not None
    assert engine.count_tokens("x" * 8) == 2
    whole = said(engine, Request(("p",), 9))
    assert "".join(chunk.text for chunk in whole) == "abcd"
    assert whole[-1].finish_reason is FinishReason.END_OF_TEXT
    assert whole[-1].timings is not None
    cut = said(engine, Request(("p",), 9, stop=lambda text: 2 if len(text) >= 3 else None))
    assert {chunk.finish_reason for chunk in cut} <= {None, FinishReason.STOP_RULE}
    assert "".join(chunk.text for chunk in cut) == "ab"
    assert cut[-1].timings is not None


def test_one_that_has_not_what_is_wanted_is_left_alone(path: Path) -> None:
    assert engine_client.warm(Settings(adapters={"a": Adapter(path="p")}, model=SCRIPTED_SETTINGS.model), path) is None
    assert engine_client.warm(Settings(sharing=Sharing(enabled=False), model=SCRIPTED_SETTINGS.model), path) is None
    assert engine_client.warm(SCRIPTED_SETTINGS, path.with_name("y.sock")) is None


def test_the_end_of_the_process_is_a_sentence(path: Path) -> None:
    engine = engine_client.warm(SCRIPTED_SETTINGS, path)
    assert engine is not None
    told(path, "stop")
    limit = time.monotonic() + 5
    while os.path.exists(path):
        assert time.monotonic() < limit
        time.sleep(0.02)
    with pytest.raises(EngineClosed, match="Run the command again"):
        said(engine, Request(("p",), 9))


def test_the_socket_that_a_command_looks_for_is_the_one_that_a_window_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.toml").write_text('[model]\nthreads = 1\nname = "here"\nmax_memory = {cpu = "9GiB"}\n')
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(tmp_path / "settings.toml"))
    code = (
        "from starcoder_ls import settings; from starcoder_ls.daemon import engine_client, launch_options\n"
        "window = launch_options.launch_options(['--device', 'cpu']).model({})\n"
        "chosen = settings.load({'model': {'device': 'cpu'}})\n"
        "assert engine_client._model(chosen) == window, (engine_client._model(chosen), window)\n"
        "assert window == {'threads': 1, 'name': %r, 'max_memory': {'cpu': '9GiB'}, 'device': 'cpu'}, window"
    )
    subprocess.run([sys.executable, "-c", code % str(tmp_path / "here")], check=True)
