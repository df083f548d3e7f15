from __future__ import annotations

import json
import os
from typing import Any

from starcoder_ls.daemon import message
from starcoder_ls.daemon.activity import Suspects, document_hash
from starcoder_ls.daemon.daemon_failures import HANG_TEXT, DaemonFailures
from starcoder_ls.daemon.replay_log import ReplayLog

A, B = "file:///a.py", "file:///b.py"
BLAMES_A = Suspects(frozenset({(os.getpid(), document_hash(A))}), is_exact=True)


def log_with_documents() -> ReplayLog:
    log = ReplayLog()
    for uri in (A, B):
        send(log, method="textDocument/didOpen", params={"textDocument": {"uri": uri}})
    return log


def send(log: ReplayLog, **fields: Any) -> None:
    log.record_sent(message.parse(message.encode(**fields)))


def test_hang_answers_open_requests_by_who_waits_and_tells_the_user_once() -> None:
    log = log_with_documents()
    send(log, id=1, method="initialize", params={})
    send(log, id=2, method="textDocument/completion", params={"textDocument": {"uri": A}})
    send(log, id=3, method="workspace/executeCommand", params={})
    automatic, invoked, shown = map(json.loads, DaemonFailures(log).record_hang(Suspects()))
    assert automatic == {"jsonrpc": "2.0", "id": 2, "result": None}
    assert invoked["error"] == {"code": -32803, "message": HANG_TEXT}
    assert shown["params"] == {"type": 2, "message": f"StarCoder: {HANG_TEXT}"}
    assert log.is_initializing


def test_quarantined_document_is_not_replayed_and_requests_are_answered() -> None:
    log = log_with_documents()
    failures = DaemonFailures(log)
    send(log, id=1, method="textDocument/completion", params={"textDocument": {"uri": A}})
    assert failures.record_crash(BLAMES_A) == []
    assert len(log.replay()) == 3
    reply, shown = map(json.loads, failures.record_crash(BLAMES_A))
    assert reply == {"jsonrpc": "2.0", "id": 1, "result": None}
    assert "a.py" in shown["params"]["message"]
    assert failures.has_quarantined
    assert [json.loads(body)["params"]["textDocument"]["uri"] for body in log.replay()] == [B]


def test_crash_of_another_windows_document_is_attributed_elsewhere() -> None:
    failures = DaemonFailures(log_with_documents())
    failures.record_crash(Suspects(frozenset({(0, document_hash("file:///c.py"))})))
    assert failures.is_attributed_elsewhere
    failures.record_crash(Suspects())
    assert not failures.is_attributed_elsewhere


def test_answer_of_the_model_clears_its_document() -> None:
    log = log_with_documents()
    failures = DaemonFailures(log)
    inexact = Suspects(BLAMES_A.entries)
    failures.record_crash(inexact)
    send(log, id=1, method="textDocument/completion", params={"textDocument": {"uri": A}})
    failures.record_answer(message.parse(message.encode(id=1, result=[])))
    failures.record_crash(inexact)
    assert not failures.has_quarantined
