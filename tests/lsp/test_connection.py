from __future__ import annotations

import asyncio

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine, text_before_cursor
from harness import (
    INLINE_COMPLETION,
    URI,
    async_test,
    connect_client,
    notifications_of,
    wait_until,
    wait_until_idle,
    wait_until_ready,
)
from starcoder_ls.app import Server
from starcoder_ls.lsp import tcp
from starcoder_ls.lsp.framing import frame
from starcoder_ls.lsp.json_body import MAX_TOKENS


@async_test
async def test_sessions_share_only_the_engine() -> None:
    engine = ScriptedEngine(token_s=0.01)
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as one, connect_client(server) as two:
        await one.initialize({"inline_completion": {"max_new_tokens": 3}}, INLINE_COMPLETION)
        await two.initialize({}, {**INLINE_COMPLETION, "general": {"positionEncodings": ["utf-8"]}})
        await wait_until_ready(one)
        one.open(URI, "one = ")
        two.open(URI, "two = é")
        first, second = one.inline_completion(URI, 0, 6), two.inline_completion(URI, 0, 8)
        two.cancel(first)  # the id belongs to another client
        assert await first
        assert await second
        assert [text_before_cursor(request) for request in engine.requests] == ["one = ", "two = é"]
        assert [request.max_new_tokens for request in engine.requests] == [3, 64]
        await one.shutdown()
        assert await two.inline_completion(URI, 0, 8)
    server.close()


@async_test
async def test_disconnected_clients_requests_are_cancelled() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(500)]], token_s=0.02)
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        await client.initialize({}, INLINE_COMPLETION)
        await wait_until_ready(client)
        client.open(URI, "x = ")
        client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 2)
        client._writer.transport.abort()
        await wait_until(engine.requests[0].cancel.is_set)
        steps = engine.steps
        await wait_until_idle(engine)
        assert engine.steps <= steps + 1
    await asyncio.to_thread(server.close)


@async_test
async def test_client_that_does_not_read_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tcp, "MAX_SEND_QUEUE_BYTES", 1_000_000)
    server = Server(lambda _: ScriptedEngine(), SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        client._reader._transport.pause_reading()  # type: ignore[attr-defined]
        noise = frame(b'{"jsonrpc":"2.0","id":"%b","method":"nothing"}' % (b"x" * 50_000))
        for _ in range(200):
            client.send_bytes(noise)
            await asyncio.sleep(0)
        await wait_until(lambda: "does not read" in caplog.text)
        client._reader._transport.resume_reading()  # type: ignore[attr-defined]
    server.close()


@async_test
async def test_messages_in_one_packet_are_processed_in_order() -> None:
    engine = ScriptedEngine()
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        initialize = client.request("initialize", {"capabilities": INLINE_COMPLETION})
        client.notify("initialized", {})
        client.open(URI, "x = ")
        status = client.request("starcoder/status")
        down = client.request("shutdown")
        client.notify("exit")
        assert (await initialize)["capabilities"]
        assert (await status)["phase"]
        assert await down is None
        await client.wait_closed()
    server.close()


@async_test
async def test_message_with_too_many_values_is_refused_once_and_others_work() -> None:
    server = Server(lambda _: ScriptedEngine(), SCRIPTED_SETTINGS)
    values = b"{}," * (MAX_TOKENS // 2) + b"{}"
    async with connect_client(server) as client, connect_client(server) as other:
        for connected in (client, other):
            await connected.initialize({}, INLINE_COMPLETION)
            await wait_until_ready(connected)
            connected.open(URI, "x = ")
        for method in (b"textDocument/didChange", b"workspace/didChangeWatchedFiles", b"textDocument/didChange"):
            client.send_bytes(frame(b'{"jsonrpc":"2.0","method":"%b","params":[%b]}' % (method, values)))
        assert await client.request("starcoder/text", {"uri": URI}) is None
        (message,) = notifications_of(client, "window/showMessage")
        assert "too many values" in message["message"]
        client.change(URI, 2, {"text": "y = "})
        assert await client.inline_completion(URI, 0, 4)
        assert await other.inline_completion(URI, 0, 4)
    server.close()
