from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as t

from harness import async_test
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.protocol import MAX_OPEN_BYTES, Handlers, LspProtocol, NotificationHandler, RequestHandler
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError

Received = list[Any]


async def echo(_: Received, params: Any, _request: RequestHandle) -> Any:
    return params


async def block(_: Received, _params: Any, _request: RequestHandle) -> None:
    await asyncio.Event().wait()


async def ignore_cancellation(_: Received, _params: Any, _request: RequestHandle) -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "late"


async def return_unserializable(_: Received, _params: Any, _request: RequestHandle) -> object:
    return {1, 2}


async def fail(_: Received, _params: Any, _request: RequestHandle) -> None:
    raise ResponseError(-32803, "No.")


REQUESTS: dict[str, RequestHandler[Received]] = {
    "initialize": RequestHandler(echo),
    "shutdown": RequestHandler(echo),
    "echo": RequestHandler(echo),
    "block": RequestHandler(block),
    "ignore_cancellation": RequestHandler(ignore_cancellation),
    "return_unserializable": RequestHandler(return_unserializable),
    "fail": RequestHandler(fail),
}
NOTIFICATIONS: dict[str, NotificationHandler[Received]] = {
    "note": NotificationHandler(lambda notes, p: notes.append(p))
}


class Peer:
    """The client of a protocol. ``notes`` has the params of "note" notifications, ``sent`` the protocol's messages."""

    def __init__(self, is_initialized: bool = True) -> None:
        self.notes: Received = []
        self.client = LanguageClient()
        self.protocol = LspProtocol(self.notes, Handlers(REQUESTS, NOTIFICATIONS), self.client.protocol)
        self.sent: list[dict[str, Any]] = []
        self.protocol.connect(lambda body: self.sent.append(json.loads(body)))
        self._is_initialized = is_initialized

    async def __aenter__(self) -> Peer:
        if self._is_initialized:
            await self.request("init", "initialize")
            self.sent.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.protocol.disconnect()
        await self.run_pending_tasks()

    async def request(self, request_id: Any, method: str, params: Any = None) -> None:
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        if self.protocol.receive(message):
            await asyncio.sleep(0)

    def notify(self, method: str, params: Any = None) -> None:
        self.protocol.receive({"jsonrpc": "2.0", "method": method, "params": params})

    async def run_pending_tasks(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def responses(self) -> list[tuple[Any, Any]]:
        """(id, error code or result) of each response."""
        return [(m["id"], m["error"]["code"] if "error" in m else m["result"]) for m in self.sent if "method" not in m]


@async_test
async def test_id_of_a_running_request_is_rejected_and_usable_afterwards() -> None:
    async with Peer() as peer:
        await peer.request(1, "block")
        await peer.request(1, "echo", {})
        peer.notify("$/cancelRequest", {"id": 1})
        await peer.request(1, "echo", {"again": True})
        await peer.run_pending_tasks()
        assert peer.responses() == [(1, -32600), (1, -32800), (1, {"again": True})]


@async_test
async def test_string_and_integer_ids_are_distinct() -> None:
    async with Peer() as peer:
        await peer.request(1, "block")
        await peer.request("1", "block")
        peer.notify("$/cancelRequest", {"id": "1"})
        assert peer.responses() == [("1", -32800)]


@async_test
async def test_result_after_cancellation_is_not_sent() -> None:
    async with Peer() as peer:
        await peer.request(1, "ignore_cancellation")
        peer.notify("$/cancelRequest", {"id": 1})
        await peer.run_pending_tasks()
        assert peer.responses() == [(1, -32800)]


@async_test
async def test_unserializable_result_becomes_an_error_response() -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with Peer() as peer:
        await peer.request(1, "return_unserializable")
        await peer.request(2, "fail")
        assert peer.responses() == [(1, -32603), (2, -32803)]


@async_test
async def test_shutdown_cancels_running_requests_before_its_own_response() -> None:
    async with Peer() as peer:
        await peer.request(1, "block")
        await peer.request(2, "ignore_cancellation")
        await peer.request(3, "shutdown")
        await peer.request(4, "echo")
        peer.notify("note")
        peer.notify("exit")
        assert peer.responses() == [(1, -32800), (2, -32800), (3, None), (4, -32600)]
        assert peer.notes == []
        assert peer.protocol.exit_code == 0


@async_test
async def test_response_to_a_cancelled_server_request_is_ignored() -> None:
    """The reader of pygls 2.1.1 ends with an exception here (pygls #621)."""
    async with Peer() as peer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.client.work_done_progress.create_async("token"), 0.01)
        (request,) = peer.sent
        for response in ({"result": None}, {"error": {"code": 1, "message": "no"}}, {"result": None}):
            peer.protocol.receive({"jsonrpc": "2.0", "id": request["id"], **response})
        await peer.request(1, "echo", {})
        assert peer.responses()[-1] == (1, {})


@async_test
async def test_response_of_the_client_completes_the_server_request() -> None:
    async with Peer() as peer:
        params = t.ApplyWorkspaceEditParams(edit=t.WorkspaceEdit())
        for response, expected in (
            ({"result": {"applied": True}}, True),
            ({"result": {"applied": "x"}}, ResponseError),
            ({"error": {"code": 1, "message": "no"}}, ResponseError),
            ({"error": "malformed"}, ResponseError),
        ):
            pending = asyncio.ensure_future(peer.client.workspace_apply_edit_async(params))
            await asyncio.sleep(0)
            peer.protocol.receive({"jsonrpc": "2.0", "id": peer.sent[-1]["id"], **response})
            if expected is True:
                assert (await pending).applied is True
            else:
                with pytest.raises(expected):  # type: ignore[call-overload]
                    await pending


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.sampled_from(["2.0", "echo", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error"]), inner, max_size=5)
    ),
    max_leaves=8,
)
METHODS = st.sampled_from([*REQUESTS, "note", "$/cancelRequest", "unknown", "$/unknown"])
IDS = st.integers(0, 3) | st.sampled_from(["a", "b"])
WELL_FORMED = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": METHODS}, optional={"id": IDS, "params": JSON}
)


@given(st.lists(JSON | WELL_FORMED, max_size=12), st.booleans())
def test_every_valid_request_gets_exactly_one_response(messages: list[Any], is_initialized: bool) -> None:
    """Ids may repeat here, so responses are counted by id."""
    logging.getLogger("starcoder_ls").setLevel(logging.CRITICAL)

    async def exchange() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        async with Peer(is_initialized) as peer:
            requests: Counter[Any] = Counter()
            for message in messages:
                is_object = isinstance(message, dict)
                is_response = is_object and "method" not in message and ("result" in message or "error" in message)
                if is_object and type(message.get("id")) in (int, str) and not is_response:
                    requests[message["id"]] += 1
                if peer.protocol.receive(message):
                    await asyncio.sleep(0)
            peer.protocol.cancel_requests()
            await peer.run_pending_tasks()
            assert Counter(sent["id"] for sent in peer.sent if sent["id"] is not None) == requests

    asyncio.run(exchange())
    logging.getLogger("starcoder_ls").setLevel(logging.NOTSET)


def test_pygls_logs_no_messages_and_shows_no_errors() -> None:
    assert not logging.getLogger("pygls.protocol.json_rpc").isEnabledFor(logging.INFO)
    peer = Peer()
    peer.client.report_server_error(ValueError("secret"), ValueError)
    assert not peer.sent


@async_test
async def test_running_requests_are_bounded_in_bytes_and_their_end_makes_room() -> None:
    async with Peer() as peer:
        size_bytes, number = 1024 * 1024, 0
        while not peer.sent:
            number += 1
            peer.protocol.receive({"jsonrpc": "2.0", "id": number, "method": "block"}, size_bytes)
        assert MAX_OPEN_BYTES - 2 * size_bytes < number * size_bytes <= MAX_OPEN_BYTES
        assert peer.responses() == [(number, -32600)]
        peer.protocol.cancel_requests()
        await peer.run_pending_tasks()
        peer.sent.clear()
        await peer.request("a", "echo", {})
        await peer.run_pending_tasks()
        assert peer.responses() == [("a", {})]
        assert peer.protocol._open_bytes == 0


@async_test
async def test_small_running_requests_are_bounded_in_number() -> None:
    async with Peer() as peer:
        for number in range(10_000):
            peer.protocol.receive({"jsonrpc": "2.0", "id": number, "method": "block"}, 50)
        assert 8_000 < len(peer.protocol._requests) < 8_200
        await peer.request("s", "shutdown", {})
        await peer.run_pending_tasks()
        assert ("s", {}) in peer.responses()


@async_test
async def test_requests_that_a_client_never_answers_are_bounded() -> None:
    async with Peer() as peer:
        output = peer.client.protocol
        futures = [output.send_request("workspace/codeLens/refresh") for _ in range(300)]
        assert len(output._request_futures) == len(output._result_types) == 256
        assert [future.cancelled() for future in futures] == [True] * 44 + [False] * 256
