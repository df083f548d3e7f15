from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fake_vllm import TOKEN, FakeVllm, Fault, serving
from starcoder_ls.errors import EngineUnreachable
from starcoder_ls.remote.dialects.dialect import Call
from starcoder_ls.remote.endpoint import Endpoint
from starcoder_ls.remote.server_connection import ServerConnection

BODY = {"model": "coder", "prompt": [1], "max_tokens": 8, "n": 1, "stream": True}
CALL = Call("/v1/completions", BODY)


def with_connection(endpoint: Endpoint, use: Callable[[ServerConnection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        connection = ServerConnection(endpoint)
        try:
            return await use(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


async def read_all(connection: ServerConnection) -> int:
    return len([event async for event in connection.stream(CALL, {})])


def test_connection_is_used_again_after_a_complete_answer() -> None:
    async def use(connection: ServerConnection) -> None:
        for _ in range(3):
            assert await read_all(connection) > 1
        assert connection.aborts == 0

    with serving(FakeVllm()) as fake:
        with_connection(Endpoint(fake.url, TOKEN), use)
        assert fake.connections == 1


def test_connection_is_opened_while_the_aborted_answer_is_shown() -> None:
    async def use(connection: ServerConnection) -> None:
        stream = connection.stream(CALL, {})
        await anext(stream)
        await stream.aclose()
        connection.warm_up()
        connection.warm_up()
        assert connection._warming is not None
        await connection._warming
        opened = fake.connections
        assert await read_all(connection) > 1
        assert (connection.aborts, opened, fake.connections) == (1, 2, 2)

    with serving(FakeVllm(lambda _: "a " * 200)) as fake:
        with_connection(Endpoint(fake.url, TOKEN), use)


def test_warming_up_a_server_that_is_gone_raises_nothing() -> None:
    async def use(connection: ServerConnection) -> None:
        connection.warm_up()
        assert connection._warming is not None
        await connection._warming
        with pytest.raises(EngineUnreachable):
            await connection.read_json("/v1/models")
        with pytest.raises(EngineUnreachable):
            await connection.post(CALL, {})

    with serving(FakeVllm()) as fake:
        url = fake.url
    with_connection(Endpoint(url), use)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")
def test_certificate_is_checked_with_the_given_authority(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem"), "-days", "2",
               "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    with serving(FakeVllm(), tls) as fake:
        assert with_connection(Endpoint(fake.url, TOKEN, str(tmp_path / "ca.pem")), read_all) > 1
        with pytest.raises(EngineUnreachable, match="certificate"):
            with_connection(Endpoint(fake.url, TOKEN), read_all)


def test_answer_of_a_call_without_stream_is_its_json_object() -> None:
    async def use(connection: ServerConnection) -> Any:
        return await connection.post(Call("/v1/completions", BODY | {"stream": False, "max_tokens": 99}), {})

    with serving(FakeVllm()) as fake:
        assert with_connection(Endpoint(fake.url, TOKEN), use)["choices"][0]["text"] == "answer of coder"


def test_broken_stream_is_an_error_not_the_end() -> None:
    with serving(FakeVllm(fault=Fault(tokens=1))) as fake, pytest.raises(EngineUnreachable):
        with_connection(Endpoint(fake.url, TOKEN), read_all)
