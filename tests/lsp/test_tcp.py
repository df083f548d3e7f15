from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import (
    FAKE_SERVER_COMMAND,
    INLINE_COMPLETION,
    URI,
    async_test,
    notifications_of,
    wait_until_ready,
)
from starcoder_ls.app import Server
from starcoder_ls.errors import SettingsError
from starcoder_ls.lsp import tcp
from starcoder_ls.lsp.client import Client, ConnectionClosed, PendingRequest, ResponseFailed, connect
from starcoder_ls.lsp.framing import frame


class ListeningServer:
    """A server process on loopback TCP."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, token_file: Path) -> None:
        self.process, self.port, self.token_file = process, port, token_file

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        async with connect("127.0.0.1", self.port) as client:
            await client.initialize({"token": self.token_file.read_text(), **options}, INLINE_COMPLETION)
            await wait_until_ready(client)
            client.open(URI, "x = ")
            yield client


@asynccontextmanager
async def listening(tmp_path: Path, **engine: Any) -> AsyncIterator[ListeningServer]:
    with listening_process(tmp_path, engine) as server:
        yield server


@contextmanager
def listening_process(folder: Path, engine: dict[str, Any]) -> Iterator[ListeningServer]:
    """Not a process of asyncio, whose loop would end with the first test."""
    environment = {"XDG_RUNTIME_DIR": str(folder), "PATH": "", "PYTHONPATH": str(Path(tcp.__file__).parents[2])}
    command = [*FAKE_SERVER_COMMAND, json.dumps(engine), "--tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        assert process.stdout is not None
        _, port, token_file = json.loads(process.stdout.readline())
        try:
            yield ListeningServer(process, port, Path(token_file))
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
            assert not os.path.exists(token_file)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ListeningServer]:
    """One server for the tests that leave it as it was."""
    with listening_process(tmp_path_factory.mktemp("tcp"), {"token_s": 0.005}) as listening_server:
        yield listening_server


async def request_suggestion(client: Client) -> str | None:
    items = await client.inline_completion(URI, 0, 4)
    return items[0]["insertText"] if items else None


@async_test
async def test_clients_get_their_own_results_whatever_other_clients_do(server: ListeningServer) -> None:
    async with server.client() as stays:
        async with server.client() as leaves:
            leaves.change(URI, 2, {"text": "another text\n"})
            both = await asyncio.gather(request_suggestion(stays), request_suggestion(leaves))
            assert both == ["return 1", "return 1"]
            assert await leaves.shutdown() is None
        assert await request_suggestion(stays) == "return 1"
        async with server.client() as quits:
            quits.notify("exit")
            await quits.wait_closed()
        async with server.client() as crashes:
            crashes.inline_completion(URI, 0, 4)
            crashes._writer.transport.abort()
        for garbage in (b"Content-Length: -1\r\n\r\n", b"\x00" * 100_000, frame(b"[" * 100_000)):
            async with server.client() as talks_garbage:
                talks_garbage.send_bytes(garbage)
                assert await request_suggestion(stays) == "return 1"
        assert not stays.unmatched_responses


@pytest.mark.perf
@async_test
async def test_sigterm_ends_a_busy_server_within_three_seconds(tmp_path: Path) -> None:
    async with listening(tmp_path, scripts=[["word "] * 5000], token_s=0.01) as server, server.client() as client:
        client.inline_completion(URI, 0, 4)
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait) == 0
        assert time.monotonic() - begin < 3


FOREIGN_BYTES = [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"POST http://x/ HTTP/1.1\r\n", b"\x16\x03\x01\x02"]


@pytest.mark.parametrize("first_bytes", FOREIGN_BYTES, ids=["http", "http with a colon", "tls"])
@async_test
async def test_http_and_tls_connections_are_closed_without_a_response(
    server: ListeningServer, first_bytes: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(first_bytes)
    assert await reader.read() == b""
    writer.close()
    async with server.client() as client:
        assert await request_suggestion(client) == "return 1"


@async_test
async def test_client_without_the_token_is_rejected(server: ListeningServer) -> None:
    wrong: list[Any] = [None, {}, {"token": "wrong"}, {"token": 5}, {"token": ""}, "token", {"token": "\ud83d"}]
    for options in wrong:
        async with connect("127.0.0.1", server.port) as client:
            assert await error_code(client.request("starcoder/status")) == -32002
            params = {"capabilities": {}, "initializationOptions": options}
            assert await error_code(client.request("initialize", params)) == -32600
            await client.wait_closed()
            with pytest.raises(ConnectionClosed):
                await client.request("starcoder/status")


async def error_code(pending: PendingRequest) -> int:
    with pytest.raises(ResponseFailed) as caught:
        await pending
    return caught.value.code


@async_test
async def test_token_file_is_private_and_the_token_is_no_setting(server: ListeningServer) -> None:
    assert stat.S_IMODE(server.token_file.stat().st_mode) == 0o600
    assert len(server.token_file.read_text()) == 32
    async with server.client(inline_completion={"max_new_tokens": 8}) as client:
        assert not notifications_of(client, "window/showMessage")


@async_test
async def test_later_client_with_another_model_is_warned_once(server: ListeningServer) -> None:
    model = {"name": "another"}
    async with server.client(), server.client(model=model) as other_client:
        assert await request_suggestion(other_client) == "return 1"
        (message,) = notifications_of(other_client, "window/showMessage")
        assert message["type"] == 2
        assert "another" in message["message"]


@async_test
async def test_owner_connects_beside_eighty_silent_strangers(server: ListeningServer) -> None:
    strangers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(80)]
    async with server.client() as client:
        assert await request_suggestion(client) == "return 1"
    for _, writer in strangers:
        writer.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", "10.0.0.1", "not a host"])
def test_hosts_other_than_loopback_are_rejected(host: str) -> None:
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1"):
        tcp.serve(Server(lambda _: ScriptedEngine(), SCRIPTED_SETTINGS), host)


def test_invalid_port_is_rejected() -> None:
    with pytest.raises(SettingsError, match="70000"):
        tcp.serve(Server(lambda _: ScriptedEngine(), SCRIPTED_SETTINGS), port=70_000)


@pytest.mark.parametrize(
    ("host", "address"), [("localhost", "127.0.0.1"), ("", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("[::1]", "::1")]
)
def test_names_of_theloopback_address_are_accepted(host: str, address: str) -> None:
    assert tcp.loopback_address(host) == address


def test_token_file_of_a_killed_server_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    victim = tmp_path / "victim"
    victim.write_text("unrelated")
    tcp.token_path(4711).parent.mkdir(parents=True)
    tcp.token_path(4711).symlink_to(victim)
    path = tcp.write_token("new", 4711)
    assert path.read_text() == "new"
    assert victim.read_text() == "unrelated"
