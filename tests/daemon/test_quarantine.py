from __future__ import annotations

import json
from typing import Any

from starcoder_ls.daemon import quarantine
from starcoder_ls.daemon.activity import Suspects, document_hash
from starcoder_ls.daemon.message import Message
from starcoder_ls.daemon.quarantine import FORGET_AFTER_S, Quarantine, document_uri

A, B = "file:///a.py", "file:///b.py"
OWN, OTHER = 1, 2


class ManualClock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def suspects(*uris: str, window: int = OWN, is_exact: bool = True) -> Suspects:
    return Suspects(frozenset((window, document_hash(uri)) for uri in uris), is_exact)


def sent(method: str, uri: str, **fields: Any) -> Message:
    return Message(b"", {"method": method, "params": {"textDocument": {"uri": uri}}, **fields})


def quarantined(*uris: str) -> Quarantine:
    documents = Quarantine(OWN, ManualClock())
    for _ in range(2):
        documents.record_failure(suspects(*uris), [A, B])
    return documents


def test_document_is_quarantined_after_two_failures() -> None:
    documents = Quarantine(OWN)
    assert documents.record_failure(suspects(A), [A, B]) == []
    assert documents.record_failure(suspects(B), [A, B]) == []
    assert documents.record_failure(suspects(A), [A, B]) == [A]


def test_failures_far_apart_are_unrelated() -> None:
    clock = ManualClock()
    documents = Quarantine(OWN, clock)
    documents.record_failure(suspects(A), [A])
    clock.now_s += FORGET_AFTER_S + 1.0
    assert documents.record_failure(suspects(A), [A]) == []


def test_result_clears_a_document_that_was_one_of_several_suspects() -> None:
    documents = Quarantine(OWN)
    documents.record_failure(suspects(A, B, is_exact=False), [A, B])
    documents.record_result(sent("textDocument/inlineCompletion", B, id=1))
    assert documents.record_failure(suspects(A, B, is_exact=False), [A, B]) == [A]


def test_failure_of_another_window_does_not_count_for_this_one() -> None:
    documents = Quarantine(OWN)
    assert documents.is_involved(Suspects(), [B])
    assert documents.is_involved(suspects(A), [])
    assert not documents.is_involved(suspects(A, window=OTHER), [B])
    assert documents.is_involved(suspects(A, window=OTHER), [A, B])


def test_requests_about_a_quarantined_document_are_answered() -> None:
    documents = quarantined(A)
    assert documents.intercept(sent("textDocument/completion", B, id=1), has_status=True) is None
    (automatic,) = documents.intercept(sent("textDocument/completion", A, id=2), has_status=True) or []
    assert json.loads(automatic) == {"jsonrpc": "2.0", "id": 2, "result": None}
    command = Message(b"", {"method": "workspace/executeCommand", "id": 3, "params": {"arguments": [{"uri": A}]}})
    (invoked,) = documents.intercept(command, has_status=True) or []
    assert json.loads(invoked)["error"] == {"code": -32803, "message": quarantine.reason(A)}
    (status,) = documents.intercept(sent("starcoder/documentStatus", A, id=4), has_status=True) or []
    assert json.loads(status)["result"] == {"uri": A, "status": "excluded", "reason": quarantine.reason(A)}
    assert documents.intercept(sent("textDocument/didChange", A), has_status=True) == []


def test_document_that_is_opened_again_has_one_failure_left() -> None:
    documents = quarantined(A)
    (released,) = documents.intercept(sent("textDocument/didClose", A), has_status=True) or []
    assert json.loads(released)["params"] == {"uri": A, "status": "included", "reason": ""}
    assert documents.intercept(sent("textDocument/didOpen", A), has_status=True) is None
    assert documents.record_failure(suspects(A), [A]) == [A]


def test_message_names_the_file_without_control_characters() -> None:
    assert quarantine.reason("file:///x/a%0Ab.py").startswith("ab.py made")
    assert quarantine.reason("untitled:").startswith("A document made")


def test_uri_of_params_is_found_in_nested_arguments() -> None:
    assert document_uri({"textDocument": {"uri": A}, "data": {"uri": B}}) == A
    assert document_uri({"arguments": [1, {"target": {"uri": B}}]}) == B
    assert document_uri({"textDocument": {"uri": 3}}) == document_uri(None) == ""
    deep: dict[str, Any] = {"uri": A}
    for _ in range(5000):
        deep = {"x": deep}
    assert document_uri(deep) == ""


def test_failures_of_long_ago_are_forgotten() -> None:
    clock = ManualClock()
    documents = Quarantine(OWN, clock)
    documents.record_failure(suspects(A), [A])
    clock.now_s += quarantine.FORGET_AFTER_S
    documents.record_failure(suspects(B), [B])
    assert list(documents._failures) == [B]


def notebook_message(name: str, *cells: str) -> Message:
    texts = [{"uri": cell} for cell in cells]
    params = {"cellTextDocuments": texts, "notebookDocument": {"uri": "file:///n.ipynb"}}
    return Message(b"", {"method": f"notebookDocument/did{name}", "params": params})


def test_cell_is_released_when_its_notebook_is_closed_or_opened() -> None:
    for name in ("Open", "Close"):
        documents = quarantined(A)
        assert documents.intercept(notebook_message("Change", A), has_status=True) is None, "of its notebook"
        assert documents.is_about_quarantined(sent("textDocument/completion", A, id=1))
        assert documents.intercept(notebook_message(name, A), has_status=True) is None
        assert not documents.is_about_quarantined(sent("textDocument/completion", A, id=1))
