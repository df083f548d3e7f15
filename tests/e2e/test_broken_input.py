"""Malformed and unexpected input to a server: each gets the right error, and the server lives.

Exit codes and standard output are those of a process; what concerns one connection alone is tested without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import (
    FAKE_SERVER_COMMAND,
    INLINE_COMPLETION,
    URI,
    async_test,
    connect_client,
    notifications_of,
    wait_until,
    wait_until_ready,
)
from starcoder_ls.app import Server
from starcoder_ls.lsp.client import Client, ResponseFailed, start
from starcoder_ls.lsp.framing import frame

SECRET = "def launch_code(): return 4711"
CURSOR = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 4}}
PARSE, INVALID, METHOD, PARAMS, INTERNAL, NOT_INITIALIZED = -32700, -32600, -32601, -32602, -32603, -32002


@asynccontextmanager
async def running_server(tmp_path: Path, is_initialized: bool = True, **engine: Any) -> AsyncIterator[Client]:
    """A client of a server process with one open document, whose log is the file ``log``.

    At the end, asserts that no message was shown and that no source code was logged.
    """
    with (tmp_path / "log").open("wb") as stderr:
        async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)], stderr=stderr.fileno()) as client:
            if is_initialized:
                await open_document(client)
            yield client
    require_secrecy(client, tmp_path)


@asynccontextmanager
async def connected_client(tmp_path: Path, **engine: Any) -> AsyncIterator[Client]:
    """As ``running_server``, with a server in this process."""
    server = Server(lambda _: ScriptedEngine(**engine), SCRIPTED_SETTINGS)
    with logged_to(tmp_path / "log"):
        async with connect_client(server) as client:
            await open_document(client)
            yield client
        await asyncio.to_thread(server.close)
    require_secrecy(client, tmp_path)


async def open_document(client: Client) -> None:
    await client.initialize({}, INLINE_COMPLETION)
    await wait_until_ready(client)
    client.open(URI, f"# {SECRET}\n    ")


def require_secrecy(client: Client, tmp_path: Path) -> None:
    assert not notifications_of(client, "window/showMessage")
    assert SECRET not in (tmp_path / "log").read_text()


@contextlib.contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """Everything from INFO on is logged to ``file``, as a server process does."""
    root, handler = logging.getLogger(), logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    before = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()


async def error_code(client: Client, method: str, params: Any = None) -> int:
    """The code of the error that the request is answered with."""
    with pytest.raises(ResponseFailed) as caught:
        await client.request(method, params)
    assert "Traceback" not in caught.value.message
    assert ".py" not in caught.value.message
    return caught.value.code


async def answers_requests(client: Client) -> bool:
    """Whether the server still answers a completion request."""
    items = await client.inline_completion(URI, 1, 4)
    return bool(items and items[0]["insertText"] == "return 1")


@async_test
async def test_malformed_json_is_answered_with_parse_error(tmp_path: Path) -> None:
    bodies = [b"{not json", b"", b"\xff\xfe{}", b"[" * 100_000, b'{"a": NaN}', b"1" * 5000, b'{"a":1} {"b":2}']
    async with running_server(tmp_path) as client:
        for body in bodies:
            client.send_bytes(frame(body))
        await wait_until(lambda: len(client.unmatched_responses) == len(bodies))
        assert [(stray["id"], stray["error"]["code"]) for stray in client.unmatched_responses] == [(None, PARSE)] * len(
            bodies
        )
        assert await answers_requests(client)


@async_test
async def test_json_that_is_no_message_is_an_invalid_request(tmp_path: Path) -> None:
    status = {"jsonrpc": "2.0", "id": 900, "method": "starcoder/status"}
    broken: list[tuple[Any, Any]] = [
        ([status, status], None),
        ([], None),
        ("text", None),
        (5, None),
        (None, None),
        ({}, None),
        ({**status, "jsonrpc": "1.0"}, 900),
        ({"id": 900, "method": "starcoder/status"}, 900),
        ({"method": "initialized", "params": {}}, None),
        ({**status, "method": 7}, 900),
        ({**status, "id": None}, None),
        ({**status, "id": True}, None),
        ({**status, "id": 1.5}, None),
        ({**status, "id": [1]}, None),
        ({"jsonrpc": "2.0", "id": 900}, 900),
    ]
    async with connected_client(tmp_path) as client:
        for message, _ in broken:
            client.send(message)
        await wait_until(lambda: len(client.unmatched_responses) == len(broken))
        answers = [(stray["id"], stray["error"]["code"]) for stray in client.unmatched_responses]
        assert answers == [(request_id, INVALID) for _, request_id in broken]
        assert await answers_requests(client)


@async_test
async def test_responses_without_a_request_are_ignored(tmp_path: Path) -> None:
    async with connected_client(tmp_path) as client:
        for request_id in (1, "a", None, [1], {"x": 1}):
            client.send({"jsonrpc": "2.0", "id": request_id, "result": None})
            client.send({"jsonrpc": "2.0", "id": request_id, "error": "no object"})
        assert await answers_requests(client)
        assert not client.unmatched_responses


@async_test
async def test_bad_params_are_answered_with_invalid_params(tmp_path: Path) -> None:
    invoked = {**CURSOR, "context": {"triggerKind": 1}}
    broken: list[Any] = [
        None,
        [],
        5,
        "text",
        {},
        CURSOR,
        {**CURSOR, "context": {}},
        {**CURSOR, "context": {"triggerKind": 7}},
        {**CURSOR, "context": {"triggerKind": SECRET}},
        {**invoked, "position": {"line": -1, "character": 0}},
        {**invoked, "position": {"line": 2**40, "character": 0}},
        {**invoked, "position": {"line": SECRET, "character": 0}},
        {**invoked, "position": {"line": True, "character": 0}},
        {**invoked, "textDocument": {"uri": 5}},
    ]
    async with connected_client(tmp_path) as client:
        for params in broken:
            with pytest.raises(ResponseFailed) as caught:
                await client.request("textDocument/inlineCompletion", params)
            assert caught.value.code == PARAMS
            assert SECRET not in caught.value.message
        assert await answers_requests(client)


@async_test
async def test_trigger_kind_zero_counts_as_invoked(tmp_path: Path) -> None:
    async with connected_client(tmp_path, scripts=[["a()\n"], ["b()\n"], ["c()\n"]]) as client:
        found = await client.request("textDocument/inlineCompletion", {**CURSOR, "context": {"triggerKind": 0}})
        assert [item["insertText"] for item in found] == ["a()", "b()", "c()"]


@async_test
async def test_nested_object_with_jsonrpc_key_is_plain_data(tmp_path: Path) -> None:
    inner = {"jsonrpc": "2.0", "id": 1, "method": "exit", "result": None}
    async with connected_client(tmp_path) as client:
        found = await client.request(
            "textDocument/inlineCompletion", {**CURSOR, "context": {"triggerKind": 2, "x": inner}, "y": inner}
        )
        assert found
        assert await error_code(client, "workspace/symbol", inner) == METHOD
        assert (await client.request("starcoder/status", inner))["phase"] in ("ready", "working")
        assert not client.unmatched_responses


@async_test
async def test_before_initialize_requests_fail_and_notifications_are_dropped(tmp_path: Path) -> None:
    async with running_server(tmp_path, is_initialized=False) as client:
        assert await error_code(client, "textDocument/inlineCompletion", CURSOR) == NOT_INITIALIZED
        assert await error_code(client, "shutdown") == NOT_INITIALIZED
        client.open(URI, "text")
        assert await error_code(client, "initialize", [1]) == PARAMS
        await client.initialize({}, INLINE_COMPLETION)
        assert await error_code(client, "initialize", {"capabilities": {}}) == INVALID
        await wait_until_ready(client)
        assert await client.inline_completion(URI, 0, 0) is None
        assert await client.shutdown() == 0


@async_test
async def test_after_shutdown_every_request_is_invalid(tmp_path: Path) -> None:
    async with running_server(tmp_path) as client:
        await client.request("shutdown")
        assert await error_code(client, "textDocument/inlineCompletion", CURSOR) == INVALID
        assert await error_code(client, "shutdown") == INVALID
        assert await error_code(client, "initialize", {"capabilities": {}}) == INVALID
        client.notify("exit")
        assert await client.wait_closed() == 0


@async_test
async def test_unknown_requests_fail_and_unknown_notifications_are_ignored(tmp_path: Path) -> None:
    async with connected_client(tmp_path) as client:
        assert await error_code(client, "textDocument/hover", CURSOR) == METHOD
        assert await error_code(client, "$/something") == METHOD
        assert await error_code(client, "window/showMessage", {}) == METHOD
        assert await error_code(client, "exit") == METHOD
        client.notify("$/something", {"a": 1})
        client.notify("textDocument/didSave", {"textDocument": {"uri": URI}})
        client.notify("$/cancelRequest", {"id": [1]})
        client.notify("$/cancelRequest")
        assert await answers_requests(client)
        assert not client.unmatched_responses


@async_test
async def test_handler_error_hides_details_and_is_silent_while_typing(tmp_path: Path) -> None:
    async with connected_client(tmp_path, error=RuntimeError(f"cannot do {SECRET}")) as client:
        assert await client.inline_completion(URI, 1, 4) is None
        with pytest.raises(ResponseFailed) as caught:
            await client.inline_completion(URI, 1, 4, is_invoked=True)
        assert caught.value.code == INTERNAL
        assert SECRET not in caught.value.message
    assert "RuntimeError" in (tmp_path / "log").read_text()


@async_test
async def test_invalid_change_disables_document_until_full_text_arrives(tmp_path: Path) -> None:
    start, end = {"line": 0, "character": 0}, {"line": 0, "character": 1}
    broken: list[Any] = [
        {"range": {"start": {"line": -1, "character": 0}, "end": end}, "text": SECRET},
        {"range": {"start": start}, "text": SECRET},
        {"range": {"start": start, "end": end}, "text": None},
        {"text": None},
        {},
        None,
    ]
    async with connected_client(tmp_path) as client:
        for number, change in enumerate(broken):
            client.change(URI, 2 + 2 * number, change)
            assert await client.inline_completion(URI, 1, 4) is None, change
            client.change(URI, 3 + 2 * number, {"text": "x\n    "})
            assert await answers_requests(client), change


@pytest.mark.parametrize(
    "header", [b"content-LENGTH: %d\r\n\r\n", b"Content-Length: %d\n\n", b"\r\n\r\nContent-Length:%d\r\n\r\n"]
)
@async_test
async def test_unusual_but_unambiguous_headers_are_accepted(tmp_path: Path, header: bytes) -> None:
    async with connected_client(tmp_path) as client:
        body = json.dumps({"jsonrpc": "2.0", "id": "mine", "method": "starcoder/status"}).encode()
        client.send_bytes(header.replace(b"%d", b"%d" % len(body)) + body)
        await wait_until(lambda: bool(client.unmatched_responses))
        assert client.unmatched_responses[0]["id"] == "mine"
        assert "result" in client.unmatched_responses[0]
        assert await answers_requests(client)


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 3\r\n\r\n" + json.dumps({"a": SECRET}).encode() + b"\n",
        b"Content-Length: 100000000000\r\n\r\n",
        b"Content-Length: many\r\n\r\n",
        b"Content-Type: none\r\n\r\n",
        b"x" * 9000,
    ],
    ids=lambda header: repr(header[:24]),
)
@async_test
async def test_broken_framing_closes_connection_and_logs_one_error(tmp_path: Path, header: bytes) -> None:
    async with connected_client(tmp_path) as client:
        client.send_bytes(header)
        await client.wait_closed()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len([line for line in lines if line.startswith("ERROR")]) == 1
    assert "Traceback" not in "".join(lines)


@async_test
async def test_broken_framing_gives_exit_code_1(tmp_path: Path) -> None:
    async with running_server(tmp_path) as client:
        client.send_bytes(b"Content-Length: many\r\n\r\n")
        assert await client.wait_closed() == 1


@async_test
async def test_exit_without_shutdown_gives_exit_code_1(tmp_path: Path) -> None:
    async with running_server(tmp_path) as client:
        client.notify("exit")
        assert await client.wait_closed() == 1


@async_test
async def test_exit_before_initialize_gives_exit_code_1(tmp_path: Path) -> None:
    async with running_server(tmp_path, is_initialized=False) as client:
        client.notify("exit")
        assert await client.wait_closed() == 1


@async_test
async def test_output_of_libraries_does_not_reach_the_protocol(tmp_path: Path) -> None:
    async with running_server(tmp_path, is_noisy=True) as client:
        for _ in range(20):
            assert await answers_requests(client)
        assert await client.shutdown() == 0
    log = (tmp_path / "log").read_text()
    assert "a stray print" in log
    assert "a stray write" in log
