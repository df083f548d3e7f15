from __future__ import annotations

import json
from typing import Any

from starcoder_ls.daemon.message import Message, parse
from starcoder_ls.daemon.replay_log import (
    MAX_OPEN_REQUEST_BYTES,
    OWN_ID_PREFIX,
    TOO_MANY_REQUESTS,
    ReplayLog,
)
from starcoder_ls.daemon.replayed_documents import MAX_DOCUMENT_BYTES

URI = "file:///a.py"


def message(method: str = "", request_id: Any = None, **fields: Any) -> Message:
    fields = {"jsonrpc": "2.0", **({"method": method} if method else {}), **fields}
    return parse(json.dumps(fields if request_id is None else {**fields, "id": request_id}).encode())


def did_open(text: str = "x") -> Message:
    return message("textDocument/didOpen", params={"textDocument": {"uri": URI, "text": text, "version": 1}})


def did_change(version: int, text: str = "y") -> Message:
    return message(
        "textDocument/didChange",
        params={"textDocument": {"uri": URI, "version": version}, "contentChanges": [{"text": text}]},
    )


def initialized_log() -> ReplayLog:
    log = ReplayLog()
    log.record_sent(message("initialize", 1, params={"processId": 7}))
    assert log.record_received(message(request_id=1, result={}))[0]
    log.record_sent(message("initialized"))
    return log


def methods(bodies: list[bytes]) -> list[str]:
    return [json.loads(body)["method"] for body in bodies]


def test_replay_has_handshake_documents_and_unanswered_requests() -> None:
    log = initialized_log()
    for sent in (
        did_open(),
        did_change(2),
        message("textDocument/completion", 2),
        message("textDocument/completion", "2"),
    ):
        log.record_sent(sent)
    assert log.record_received(message(request_id=2, result=None))[0]
    replay = log.replay()
    assert methods(replay) == [
        "initialize",
        "initialized",
        "textDocument/didOpen",
        "textDocument/didChange",
        "textDocument/completion",
    ]
    assert json.loads(replay[-1])["id"] == "2"
    assert not log.record_received(message(request_id=json.loads(replay[0])["id"], result={}))[0]


def test_unanswered_initialize_is_replayed_with_its_own_id() -> None:
    log = ReplayLog()
    log.record_sent(message("initialize", 1, params={}))
    assert [json.loads(body)["id"] for body in log.replay()] == [1]
    assert log.record_received(message(request_id=1, result={}))[0]
    assert not log.record_received(message(request_id=1, result={}))[0]


def test_closed_document_is_not_replayed() -> None:
    log = initialized_log()
    log.record_sent(did_open())
    log.record_sent(did_change(2))
    log.record_sent(message("textDocument/didClose", params={"textDocument": {"uri": URI}}))
    assert methods(log.replay()) == ["initialize", "initialized"]


def test_request_with_side_effects_is_rejected_instead_of_repeated() -> None:
    log = initialized_log()
    log.record_sent(message("workspace/executeCommand", 5))
    (answer,) = map(json.loads, log.record_disconnect())
    assert (answer["id"], answer["error"]["code"]) == (5, -32803)
    assert methods(log.replay()) == ["initialize", "initialized"]
    assert log.record_disconnect() == []


def test_cancellation_of_a_repeated_request_is_replayed() -> None:
    log = initialized_log()
    log.record_sent(message("textDocument/inlineCompletion", 5))
    log.record_sent(message("$/cancelRequest", params={"id": 5}))
    log.record_sent(message("$/cancelRequest", params={"id": "5"}))
    assert methods(log.replay())[-2:] == ["textDocument/inlineCompletion", "$/cancelRequest"]


def test_open_progress_is_ended_at_a_disconnect() -> None:
    log = initialized_log()
    for kind in ("begin", "report"):
        log.record_received(message("$/progress", params={"token": "t", "value": {"kind": kind}}))
    (progress,) = map(json.loads, log.record_disconnect())
    assert progress["params"] == {"token": "t", "value": {"kind": "end"}}
    assert log.record_disconnect() == []


def test_grown_changes_are_replaced_by_the_text_of_the_daemon() -> None:
    log = initialized_log()
    log.record_sent(did_open())
    own_requests: list[bytes] = []
    version = 1
    while not own_requests:
        version += 1
        own_requests = log.record_sent(did_change(version, "z" * 10_000))
    assert version < 40
    request = json.loads(own_requests[0])
    assert request["id"].startswith(OWN_ID_PREFIX)
    assert log.record_sent(did_change(version + 1, "last")) == []
    text = {"uri": URI, "languageId": "python", "version": version, "text": "zz"}
    assert not log.record_received(message(request_id=request["id"], result=text))[0]
    document, last = map(json.loads, log.replay()[2:])
    assert document["params"]["textDocument"] == text
    assert last["params"]["contentChanges"] == [{"text": "last"}]


def test_changes_stay_if_the_daemon_does_not_know_the_text() -> None:
    log = initialized_log()
    log.record_sent(did_open())
    request = json.loads(log.record_sent(did_change(2, "z" * 300_000))[0])
    assert not log.record_received(message(request_id=request["id"], result=None))[0]
    assert methods(log.replay())[2:] == ["textDocument/didOpen", "textDocument/didChange"]
    assert log.record_sent(did_change(3)) == []


def test_invalid_messages_are_forwarded_and_not_recorded() -> None:
    log = ReplayLog()
    for garbage in (b"{", b"[]", b"1", b'{"method": 3}', b'{"id": true, "method": "x"}'):
        assert log.record_sent(parse(garbage)) == []
    assert log.record_received(parse(b"{"))[0]
    assert log.replay() == []


def test_messages_that_the_next_daemon_repeats_are_not_forwarded() -> None:
    log = initialized_log()
    shown = message("window/showMessage", params={"type": 2, "message": "There is no setting `x`."})
    first, second = (message("client/registerCapability", name, params={"registrations": ["files"]}) for name in "ab")
    for received in (shown, shown, first):
        assert log.record_received(received) == (True, None)
    log.replay()
    log.replay()
    assert log.record_received(shown) == (False, None)
    is_for_editor, reply = log.record_received(second)
    assert not is_for_editor
    assert reply is not None
    assert json.loads(reply) == {"jsonrpc": "2.0", "id": "b", "result": None}
    assert log.record_received(message("window/showMessage", params={"type": 1, "message": "News."}))[0]


def test_shutdown_is_answered_without_a_daemon() -> None:
    log = initialized_log()
    log.record_sent(message("shutdown", 9))
    assert [json.loads(body) for body in log.answer_shutdown()] == [{"jsonrpc": "2.0", "id": 9, "result": None}]
    assert not log.has_open_requests


def test_second_request_with_an_open_id_is_rejected_and_the_first_stays() -> None:
    log = initialized_log()
    first = message("textDocument/completion", 5)
    assert log.rejection_of(first) is None
    log.record_sent(first)
    for duplicate in (message("textDocument/completion", 5), message("shutdown", 5)):
        rejection = log.rejection_of(duplicate)
        assert rejection is not None
        assert json.loads(rejection)["error"]["code"] == -32600
    assert log.rejection_of(message("textDocument/completion", "5")) is None
    assert log.rejection_of(message("$/cancelRequest", params={"id": 5})) is None
    assert log.record_received(message(request_id=5, result=[]))[0]
    assert log.rejection_of(first) is None


def test_id_of_the_log_itself_is_rejected() -> None:
    rejection = initialized_log().rejection_of(message("starcoder/status", f"{OWN_ID_PREFIX}file:///a.py"))
    assert rejection is not None
    assert json.loads(rejection)["error"]["code"] == -32600


def test_request_with_an_invalid_id_is_no_notification() -> None:
    log = initialized_log()
    for invalid in (1.5, True, [], {}):
        log.record_sent(message("exit", invalid))
        log.record_sent(message("textDocument/didOpen", invalid, params={"textDocument": {"uri": URI}}))
    assert not log.has_exited
    assert methods(log.replay()) == ["initialize", "initialized"]


def test_open_requests_are_bounded_in_bytes_and_answers_make_room() -> None:
    log = initialized_log()
    number, rejection = 1, None
    while rejection is None:
        number += 1
        request = message("textDocument/completion", number, params={"padding": "x" * 100_000})
        if (rejection := log.rejection_of(request)) is None:
            log.record_sent(request)
    assert number * 100_000 <= MAX_OPEN_REQUEST_BYTES + 300_000
    assert json.loads(rejection)["error"]["message"] == TOO_MANY_REQUESTS
    for answered in range(2, number):
        log.record_received(message(request_id=answered, result=None))
    assert log.rejection_of(request) is None
    assert not log.has_open_requests


def test_small_open_requests_are_bounded_in_number() -> None:
    log, number = initialized_log(), 1
    while log.rejection_of(request := message("x", number := number + 1)) is None:
        log.record_sent(request)
    assert 5_000 < number < 10_000


def test_cancellation_is_kept_without_what_else_is_in_its_message() -> None:
    log = initialized_log()
    log.record_sent(message("x", 5))
    log.record_sent(message("$/cancelRequest", params={"id": 5, "padding": "x" * 1_000_000}))
    assert json.loads(log.replay()[-1]) == {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 5}}


def test_documents_are_bounded_in_bytes_also_if_the_daemon_never_answers() -> None:
    log = initialized_log()
    log.record_sent(did_open())
    size_bytes = version = 0
    while any(b"didOpen" in body for body in log.replay()):
        version += 1
        change = did_change(version, "x" * 4_000_000)
        size_bytes += len(change.body)
        log.record_sent(change)
    assert size_bytes <= MAX_DOCUMENT_BYTES + 5_000_000
    log.record_sent(did_open("again"))
    assert methods(log.replay())[-1] == "textDocument/didOpen"


def test_notebook_is_replayed_and_its_grown_changes_requested() -> None:
    log = initialized_log()
    notebook = {"uri": "file:///n.ipynb"}
    log.record_sent(
        message("notebookDocument/didOpen", params={"notebookDocument": notebook, "cellTextDocuments": [{"uri": "c"}]})
    )
    assert log.replayed_uris == [notebook["uri"], "c"]
    changed = {"notebookDocument": notebook, "change": {"text": "z" * 300_000}}
    (own,) = map(json.loads, log.record_sent(message("notebookDocument/didChange", params=changed)))
    assert (own["method"], own["params"]) == ("starcoder/notebook", notebook)
    result = {"notebookDocument": notebook, "cellTextDocuments": []}
    assert log.record_received(message(request_id=own["id"], result=result)) == (False, None)
    (opened,) = map(json.loads, log.replay()[2:])
    assert (opened["method"], opened["params"]) == ("notebookDocument/didOpen", result)
    log.remove_document(notebook["uri"])
    assert log.replayed_uris == []
