from __future__ import annotations

import json
from typing import Any

import pytest

from fakes import ScriptedEngine
from starcoder_ls.daemon import offline_replies
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.status_notifier import described


def body(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()


GHOST = "textDocument/inlineCompletion"


@pytest.mark.parametrize(
    ("asked", "is_asked"),
    [
        (body(GHOST, context={"triggerKind": 1}), True),
        (body(GHOST, context={"triggerKind": 2}), False),
        (body(GHOST), False),
        (body("textDocument/completion"), False),
        (body("shutdown"), False),
        (body("workspace/executeCommand"), True),
        (b'{"method": "textDocument/didSave"}', False),
        (b"{", False),
        (b"[]", False),
    ],
)
def test_what_a_user_waits_for_is_told_from_what_an_editor_asks_by_itself(asked: bytes, is_asked: bool) -> None:
    assert offline_replies.is_asked(asked) is is_asked


def test_the_user_hears_a_sentence_the_status_line_a_failure_and_the_rest_nothing() -> None:
    refused = json.loads(
        offline_replies.answer("workspace/executeCommand", body("workspace/executeCommand"), "It is over.")
    )
    assert (refused["id"], refused["error"]["message"]) == (7, "It is over.")
    assert (
        json.loads(offline_replies.answer("textDocument/completion", body("textDocument/completion"), "x"))["result"]
        is None
    )
    status = json.loads(offline_replies.answer(offline_replies.STATUS, body(offline_replies.STATUS), "It is over."))[
        "result"
    ]
    assert (status["phase"], status["message"]) == ("failed", "It is over.")
    assert status.keys() == described(ScriptedEngine().status(), ProcessInfo()).keys()


def test_only_an_editor_with_a_status_line_is_sent_a_status() -> None:
    assert [json.loads(said)["method"] for said in offline_replies.told("x", has_status=False)] == [
        "window/showMessage"
    ]
    assert [json.loads(said)["method"] for said in offline_replies.told("x", has_status=True)][1:] == [
        offline_replies.STATUS
    ]
