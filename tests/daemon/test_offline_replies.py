from __future__ import annotations

import json
from typing import Any

import pytest

from fakes import ScriptedEngine
from starcoder_ls.daemon import offline_replies
from starcoder_ls.daemon.message import Message, parse
from starcoder_ls.daemon.offline_replies import STATUS_METHOD
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.status_notifier import status_params

INLINE_COMPLETION = "textDocument/inlineCompletion"


def request(method: str, **params: Any) -> Message:
    return parse(json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode())


def reply_to(method: str) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(offline_replies.reply_to(request(method), "It failed."))
    assert reply["id"] == 7
    return reply


@pytest.mark.parametrize(
    ("message", "is_user_request"),
    [
        (request(INLINE_COMPLETION, context={"triggerKind": 1}), True),
        (request(INLINE_COMPLETION, context={"triggerKind": 2}), False),
        (request(INLINE_COMPLETION), False),
        (request("textDocument/completion"), False),
        (request("shutdown"), False),
        (request("workspace/executeCommand"), True),
        (parse(b'{"method": "textDocument/didSave"}'), False),
        (parse(b"{"), False),
        (parse(b"[]"), False),
    ],
)
def test_requests_of_the_user_differ_from_automatic_ones(message: Message, is_user_request: bool) -> None:
    assert offline_replies.is_user_request(message) is is_user_request


def test_request_of_the_user_is_answered_with_an_error() -> None:
    assert reply_to("workspace/executeCommand")["error"] == {"code": -32803, "message": "It failed."}


def test_automatic_request_is_answered_with_null() -> None:
    assert reply_to("textDocument/completion")["result"] is None
    assert reply_to("textDocument/copilotInlineEdit")["result"] == {"edits": []}


def test_status_request_is_answered_with_a_failed_status() -> None:
    status = reply_to(STATUS_METHOD)["result"]
    assert (status["phase"], status["message"]) == ("failed", "It failed.")
    assert status.keys() == status_params(ScriptedEngine().status(), ProcessInfo()).keys()


@pytest.mark.parametrize(
    ("has_status", "methods"), [(False, ["window/showMessage"]), (True, ["window/showMessage", STATUS_METHOD])]
)
def test_failure_notifies_the_status_only_if_subscribed(has_status: bool, methods: list[str]) -> None:
    bodies = offline_replies.failure_notifications("It failed.", has_status)
    assert [json.loads(body)["method"] for body in bodies] == methods
