from __future__ import annotations

import json
from typing import Any

from starcoder_ls.daemon.replay_log import PRIVATE, ReplayLog

URI = "file:///a.py"


def body(method: str = "", request_id: Any = None, **members: Any) -> bytes:
    message = {"jsonrpc": "2.0", **({"method": method} if method else {}), **members}
    return json.dumps(message if request_id is None else {**message, "id": request_id}).encode()


def opened(text: str = "x") -> bytes:
    return body("textDocument/didOpen", params={"textDocument": {"uri": URI, "text": text, "version": 1}})


def changed(version: int, text: str = "y") -> bytes:
    return body(
        "textDocument/didChange",
        params={"textDocument": {"uri": URI, "version": version}, "contentChanges": [{"text": text}]},
    )


def begun() -> ReplayLog:
    journal = ReplayLog()
    journal.sent(body("initialize", 1, params={"processId": 7}))
    assert journal.received(body(request_id=1, result={}))[0]
    journal.sent(body("initialized"))
    return journal


def methods(bodies: list[bytes]) -> list[str]:
    return [json.loads(said)["method"] for said in bodies]


def test_a_new_process_hears_the_handshake_the_documents_and_what_is_not_answered() -> None:
    journal = begun()
    for said in (opened(), changed(2), body("textDocument/completion", 2), body("textDocument/completion", "2")):
        journal.sent(said)
    assert journal.received(body(request_id=2, result=None))[0]
    replay = journal.replay()
    assert methods(replay) == [
        "initialize",
        "initialized",
        "textDocument/didOpen",
        "textDocument/didChange",
        "textDocument/completion",
    ]
    assert json.loads(replay[-1])["id"] == "2"
    assert not journal.received(body(request_id=json.loads(replay[0])["id"], result={}))[0]


def test_a_handshake_that_was_never_answered_is_said_with_its_own_id() -> None:
    journal = ReplayLog()
    journal.sent(body("initialize", 1, params={}))
    assert [json.loads(said)["id"] for said in journal.replay()] == [1]
    assert journal.received(body(request_id=1, result={}))[0]
    assert not journal.received(body(request_id=1, result={}))[0]


def test_a_closed_document_is_forgotten() -> None:
    journal = begun()
    journal.sent(opened())
    journal.sent(changed(2))
    journal.sent(body("textDocument/didClose", params={"textDocument": {"uri": URI}}))
    assert methods(journal.replay()) == ["initialize", "initialized"]


def test_a_request_that_may_have_changed_something_is_refused_and_not_repeated() -> None:
    journal = begun()
    journal.sent(body("workspace/executeCommand", 5))
    (answer,) = map(json.loads, journal.given_up())
    assert (answer["id"], answer["error"]["code"]) == (5, -32803)
    assert methods(journal.replay()) == ["initialize", "initialized"]
    assert journal.given_up() == []


def test_a_request_that_was_cancelled_meanwhile_is_cancelled_again() -> None:
    journal = begun()
    journal.sent(body("textDocument/inlineCompletion", 5))
    journal.sent(body("$/cancelRequest", params={"id": 5}))
    journal.sent(body("$/cancelRequest", params={"id": "5"}))
    assert methods(journal.replay())[-2:] == ["textDocument/inlineCompletion", "$/cancelRequest"]


def test_progress_that_nobody_will_end_is_ended() -> None:
    journal = begun()
    for kind in ("begin", "report"):
        journal.received(body("$/progress", params={"token": "t", "value": {"kind": kind}}))
    (said,) = map(json.loads, journal.given_up())
    assert said["params"] == {"token": "t", "value": {"kind": "end"}}
    assert journal.given_up() == []


def test_changes_that_have_grown_become_the_text_that_the_process_tells() -> None:
    journal = begun()
    journal.sent(opened())
    asked: list[bytes] = []
    version = 1
    while not asked:
        version += 1
        asked = journal.sent(changed(version, "z" * 10_000))
    assert version < 40
    question = json.loads(asked[0])
    assert question["id"].startswith(PRIVATE)
    assert journal.sent(changed(version + 1, "last")) == []
    told = {"uri": URI, "languageId": "python", "version": version, "text": "zz"}
    assert not journal.received(body(request_id=question["id"], result=told))[0]
    document, last = map(json.loads, journal.replay()[2:])
    assert document["params"]["textDocument"] == told
    assert last["params"]["contentChanges"] == [{"text": "last"}]


def test_a_text_that_the_process_lost_leaves_the_changes_as_they_are() -> None:
    journal = begun()
    journal.sent(opened())
    question = json.loads(journal.sent(changed(2, "z" * 300_000))[0])
    assert not journal.received(body(request_id=question["id"], result=None))[0]
    assert methods(journal.replay())[2:] == ["textDocument/didOpen", "textDocument/didChange"]
    assert journal.sent(changed(3)) == []


def test_what_is_no_message_is_passed_on_and_not_remembered() -> None:
    journal = ReplayLog()
    for garbage in (b"{", b"[]", b"1", b'{"method": 3}', b'{"id": true, "method": "x"}'):
        assert journal.sent(garbage) == []
    assert journal.received(b"{")[0]
    assert journal.replay() == []


def test_what_the_next_process_says_a_second_time_goes_no_further() -> None:
    journal = begun()
    message = body("window/showMessage", params={"type": 2, "message": "There is no setting `x`."})
    first, second = (body("client/registerCapability", name, params={"registrations": ["files"]}) for name in "ab")
    for said in (message, message, first):
        assert journal.received(said) == (True, None)
    journal.replay()
    journal.replay()
    assert journal.received(message) == (False, None)
    is_for_editor, reply = journal.received(second)
    assert not is_for_editor
    assert reply is not None
    assert json.loads(reply) == {"jsonrpc": "2.0", "id": "b", "result": None}
    assert journal.received(body("window/showMessage", params={"type": 1, "message": "News."}))[0]


def test_shutdown_is_answered_where_nobody_else_will() -> None:
    journal = begun()
    journal.sent(body("shutdown", 9))
    assert [json.loads(said) for said in journal.dismissed()] == [{"jsonrpc": "2.0", "id": 9, "result": None}]
    assert not journal.has_requests
