from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as t

from harness import async_test
from starcoder_ls.lsp.protocol import Notification, Protocol, Request, Routes
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.session import Session
from starcoder_ls.settings import Settings


async def echo(_session: Session, params: Any, _call: RequestHandle) -> Any:
    return params


async def wait(_session: Session, _params: Any, _call: RequestHandle) -> None:
    await asyncio.sleep(60)


async def stubborn(_session: Session, _params: Any, _call: RequestHandle) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "late"


async def unsendable(_session: Session, _params: Any, _call: RequestHandle) -> object:
    return {1, 2}


async def refuse(_session: Session, _params: Any, _call: RequestHandle) -> None:
    raise ResponseError(-32803, "No.")


REQUESTS = {
    "initialize": Request(echo),
    "shutdown": Request(echo),
    "echo": Request(echo),
    "wait": Request(wait),
    "stubborn": Request(stubborn),
    "unsendable": Request(unsendable),
    "refuse": Request(refuse),
}


class Wire:
    """A session whose answers are kept."""

    def __init__(self, is_initialized: bool = True) -> None:
        self.noted: list[Any] = []
        routes = Routes(REQUESTS, {"note": Notification(lambda _, params: self.noted.append(params))})
        self.session = Session(EngineSupervisor(lambda _: None), Settings(), routes)  # type: ignore[arg-type,return-value]
        self.protocol: Protocol = self.session.protocol
        self.sent: list[dict[str, Any]] = []
        self.protocol.send = lambda body: self.sent.append(json.loads(body))
        self._is_initialized = is_initialized

    async def __aenter__(self) -> Wire:
        if self._is_initialized:
            await self.ask("init", "initialize")
            self.sent.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.session.close()
        await self.settle()

    async def ask(self, request_id: Any, method: str, params: Any = None) -> None:
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        if self.protocol.receive(message):
            await asyncio.sleep(0)

    def tell(self, method: str, params: Any = None) -> None:
        self.protocol.receive({"jsonrpc": "2.0", "method": method, "params": params})

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def outcomes(self) -> list[tuple[Any, Any]]:
        """(id, error code or result) of each answer."""
        return [(m["id"], m["error"]["code"] if "error" in m else m["result"]) for m in self.sent if "method" not in m]


@async_test
async def test_an_id_that_is_still_running_is_refused_and_the_first_goes_on() -> None:
    async with Wire() as wire:
        await wire.ask(1, "wait")
        await wire.ask(1, "echo", {})
        wire.tell("$/cancelRequest", {"id": 1})
        await wire.ask(1, "echo", {"again": True})
        await wire.settle()
        assert wire.outcomes() == [(1, -32600), (1, -32800), (1, {"again": True})]


@async_test
async def test_text_and_number_are_different_ids() -> None:
    async with Wire() as wire:
        await wire.ask(1, "wait")
        await wire.ask("1", "wait")
        wire.tell("$/cancelRequest", {"id": "1"})
        assert wire.outcomes() == [("1", -32800)]


@async_test
async def test_a_handler_that_answers_after_its_cancellation_is_not_heard() -> None:
    async with Wire() as wire:
        await wire.ask(1, "stubborn")
        wire.tell("$/cancelRequest", {"id": 1})
        await wire.settle()
        assert wire.outcomes() == [(1, -32800)]


@async_test
async def test_an_answer_that_cannot_be_sent_is_an_error_not_silence() -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with Wire() as wire:
        await wire.ask(1, "unsendable")
        await wire.ask(2, "refuse")
        assert wire.outcomes() == [(1, -32603), (2, -32803)]


@async_test
async def test_shutdown_answers_everything_in_flight_and_then_itself() -> None:
    async with Wire() as wire:
        await wire.ask(1, "wait")
        await wire.ask(2, "stubborn")
        await wire.ask(3, "shutdown")
        await wire.ask(4, "echo")
        wire.tell("note")
        wire.tell("exit")
        assert wire.outcomes() == [(1, -32800), (2, -32800), (3, None), (4, -32600)]
        assert wire.noted == []
        assert wire.protocol.exit_code == 0


@async_test
async def test_a_client_that_answers_a_question_we_gave_up_is_harmless() -> None:
    """pygls 2.1.1's own reader dies of it (pygls #621)."""
    async with Wire() as wire:
        progress = wire.session.work_done_progress
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(progress.create_async("token"), 0.01)
        (question,) = wire.sent
        for answer in ({"result": None}, {"error": {"code": 1, "message": "no"}}, {"result": None}):
            wire.protocol.receive({"jsonrpc": "2.0", "id": question["id"], **answer})
        await wire.ask(1, "echo", {})
        assert wire.outcomes()[-1] == (1, {})


@async_test
async def test_answers_of_the_client_reach_who_asked() -> None:
    async with Wire() as wire:
        params = t.ApplyWorkspaceEditParams(edit=t.WorkspaceEdit())
        for answer, expected in (
            ({"result": {"applied": True}}, True),
            ({"result": {"applied": "x"}}, ResponseError),
            ({"error": {"code": 1, "message": "no"}}, Exception),
        ):
            asking = asyncio.ensure_future(wire.session.workspace_apply_edit_async(params))
            await asyncio.sleep(0)
            wire.protocol.receive({"jsonrpc": "2.0", "id": wire.sent[-1]["id"], **answer})
            if expected is True:
                assert (await asking).applied is True
            else:
                with pytest.raises(expected):  # type: ignore[call-overload]
                    await asking


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
def test_whatever_comes_each_valid_request_is_answered_exactly_once(messages: list[Any], is_initialized: bool) -> None:
    """Ids may repeat here, so answers are counted per id."""
    logging.getLogger("starcoder_ls").setLevel(logging.CRITICAL)

    async def talk() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        async with Wire(is_initialized) as wire:
            asked: dict[Any, int] = {}
            for message in messages:
                is_object = isinstance(message, dict)
                is_answer = is_object and "method" not in message and ("result" in message or "error" in message)
                if is_object and type(message.get("id")) in (int, str) and not is_answer:
                    asked[message["id"]] = asked.get(message["id"], 0) + 1
                if wire.protocol.receive(message):
                    await asyncio.sleep(0)
            wire.protocol.end_calls()
            await wire.settle()
            answered: dict[Any, int] = {}
            for sent in wire.sent:
                if sent["id"] is not None:
                    answered[sent["id"]] = answered.get(sent["id"], 0) + 1
            assert answered == asked

    asyncio.run(talk())
    logging.getLogger("starcoder_ls").setLevel(logging.NOTSET)


def test_pygls_never_logs_messages_nor_shows_errors() -> None:
    assert not logging.getLogger("pygls.protocol.json_rpc").isEnabledFor(logging.INFO)
    wire = Wire()
    wire.session.report_server_error(ValueError("secret"), ValueError)
    assert not wire.sent
