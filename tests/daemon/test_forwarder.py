"""A Forwarder in this process with scripted daemons. Real daemons are in tests/e2e."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import Any

from starcoder_ls.daemon.forwarder import DAEMON_EXIT, Forwarder
from starcoder_ls.daemon.replay_log import ReplayLog
from starcoder_ls.daemon.restart_policy import MAX_FAILURES, RETRY_DELAY_S
from starcoder_ls.lsp.framing import FrameReader, frame


def frame_of(**fields: Any) -> bytes:
    return frame(json.dumps({"jsonrpc": "2.0", **fields}).encode())


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Editor:
    """Both pipes of a Forwarder that runs on a thread, and its scripted daemons.

    Each daemon sends the next of ``scripts`` (the last one for those beyond) when it has received something, and ends.
    """

    def __init__(self, *scripts: bytes) -> None:
        self._scripts, self.connections = list(scripts), 0
        self.clock = FakeClock()
        self.daemons_may_answer = threading.Event()
        self.daemons_may_answer.set()
        source, self._to_forwarder = os.pipe()
        self._from_forwarder, sink = os.pipe()
        self._frames, self._received = FrameReader(), list[dict[str, Any]]()
        self.exit_code = -1
        self._thread = threading.Thread(target=self._run, args=(source, sink), daemon=True)
        self._thread.start()

    def _run(self, source: int, sink: int) -> None:
        self.exit_code = Forwarder(self._connect, source, sink, self.clock).run()
        os.close(source)
        os.close(sink)

    def _connect(self, _: ReplayLog) -> socket.socket:
        ours, theirs = socket.socketpair()
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1

        def run_daemon() -> None:
            theirs.recv(65536)
            self.daemons_may_answer.wait()
            theirs.sendall(script)
            theirs.close()

        threading.Thread(target=run_daemon).start()
        return ours

    def send(self, **fields: Any) -> None:
        os.write(self._to_forwarder, frame_of(**fields))

    def send_bytes(self, data: bytes) -> None:
        os.write(self._to_forwarder, data)

    def receive(self) -> dict[str, Any]:
        """Blocks until a message arrives."""
        while not self._received:
            data = os.read(self._from_forwarder, 65536)
            assert data, "the forwarder has ended"
            self._received += map(json.loads, self._frames.feed_data(data))
        return self._received.pop(0)

    def close(self) -> int:
        """Close the pipe to the forwarder and wait for its exit code."""
        os.close(self._to_forwarder)
        self._thread.join()
        os.close(self._from_forwarder)
        return self.exit_code


def initialized_editor(*next_scripts: bytes, first_script: bytes = b"") -> Editor:
    editor = Editor(frame_of(id=1, result={}) + first_script, *next_scripts)
    editor.send(id=1, method="initialize", params={})
    assert editor.receive() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    return editor


def test_daemons_that_fail_repeatedly_are_reported_once_and_not_restarted() -> None:
    editor = initialized_editor(b"")
    message = editor.receive()
    assert message["method"] == "window/showMessage"
    assert "4 times in a row" in message["params"]["message"]
    editor.send(id=2, method="textDocument/inlineCompletion", params={"context": {"triggerKind": 2}})
    editor.send(id=3, method="starcoder/status")
    assert editor.receive() == {"jsonrpc": "2.0", "id": 2, "result": None}
    assert editor.receive()["result"]["phase"] == "failed"
    editor.close()
    assert editor.connections == MAX_FAILURES


def test_user_request_restarts_a_failed_daemon() -> None:
    editor = initialized_editor(b"", b"", b"", b"", frame_of(id=5, result="restarted"))
    assert editor.receive()["method"] == "window/showMessage"
    editor.send(id=4, method="workspace/executeCommand")
    error_reply = editor.receive()
    assert (error_reply["id"], error_reply["error"]["code"]) == (4, -32803)
    editor.send(id=6, method="starcoder/status")
    assert editor.receive()["result"]["phase"] == "failed"  # stopped again, without a second message
    editor.send(id=5, method="textDocument/inlineCompletion", params={"context": {"triggerKind": 1}})
    assert editor.receive() == {"jsonrpc": "2.0", "id": 5, "result": "restarted"}
    editor.close()
    assert editor.connections == MAX_FAILURES + 2


def test_automatic_request_restarts_a_failed_daemon_after_the_delay() -> None:
    editor = initialized_editor(b"", b"", b"", frame_of(id=3, result="restarted"))
    assert editor.receive()["method"] == "window/showMessage"
    editor.clock.now_s += RETRY_DELAY_S
    editor.send(id=2, method="textDocument/completion")
    assert editor.receive() == {"jsonrpc": "2.0", "id": 2, "result": None}
    editor.clock.now_s += 1.0
    editor.send(id=3, method="textDocument/completion")
    assert editor.receive() == {"jsonrpc": "2.0", "id": 3, "result": "restarted"}
    editor.close()


def test_failure_before_initialize_is_its_error_response() -> None:
    editor = Editor(b"", b"", b"", b"", frame_of(id=2, result={}))
    editor.send(id=1, method="initialize", params={})
    error_reply = editor.receive()
    assert error_reply["id"] == 1
    assert "4 times in a row" in error_reply["error"]["message"]
    editor.send(id=2, method="initialize", params={})
    assert editor.receive() == {"jsonrpc": "2.0", "id": 2, "result": {}}
    editor.close()


def test_shutdown_after_the_daemon_has_exited_starts_no_daemon() -> None:
    editor = initialized_editor(first_script=frame_of(method=DAEMON_EXIT))
    editor.send(id=2, method="shutdown")
    assert editor.receive() == {"jsonrpc": "2.0", "id": 2, "result": None}
    editor.send(method="exit")
    assert editor.close() == 0
    assert editor.connections == 1


def test_incomplete_message_of_an_ended_daemon_is_not_forwarded() -> None:
    response = frame_of(id=1, result={})
    editor = Editor(response[:-3], response)
    editor.send(id=1, method="initialize", params={})
    assert editor.receive() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    editor.close()


def test_after_an_orderly_exit_only_a_request_starts_a_daemon() -> None:
    orderly_exit = frame_of(method=DAEMON_EXIT)
    editor = initialized_editor(frame_of(id=3, result=3) + orderly_exit, first_script=orderly_exit)
    editor.send(method="initialized")
    editor.send(method="textDocument/didSave")
    editor.send(id=2, method="shutdown")  # answered by the forwarder: both notifications were handled before
    assert editor.receive()["id"] == 2
    assert editor.connections == 1
    editor.send(id=3, method="starcoder/status")
    assert editor.receive()["result"] == 3
    editor.close()
    assert editor.connections == 2


def test_after_an_exit_with_an_error_only_a_user_request_starts_a_daemon() -> None:
    exit_with_error = frame_of(method=DAEMON_EXIT, params={"error": "torch is broken."})
    answer_and_exit = frame_of(id=4, result="works") + frame_of(method=DAEMON_EXIT, params={})
    editor = initialized_editor(exit_with_error, answer_and_exit, first_script=exit_with_error)
    editor.send(id=2, method="textDocument/inlineCompletion", params={"context": {"triggerKind": 2}})
    assert editor.receive() == {"jsonrpc": "2.0", "id": 2, "result": None}
    assert editor.connections == 1
    editor.send(id=3, method="starcoder/prompt")
    assert editor.receive()["error"]["message"] == "torch is broken."  # also of the second one
    assert editor.connections == 2
    editor.send(id=4, method="starcoder/prompt")
    assert editor.receive() == {"jsonrpc": "2.0", "id": 4, "result": "works"}
    assert editor.close() == 1
    assert editor.connections == 3


def test_invalid_framing_from_the_editor_ends_the_forwarder() -> None:
    editor = Editor(b"")
    editor.send()
    editor.send_bytes(b"GET / HTTP/1.1\r\n\r\n")
    assert editor.close() == 1


def test_three_requests_with_one_id_get_three_answers_and_the_result() -> None:
    editor = initialized_editor(frame_of(id=2, result="the result"), first_script=frame_of(method=DAEMON_EXIT))
    editor.daemons_may_answer.clear()
    for _ in range(3):
        editor.send(id=2, method="starcoder/status")
    answers = [editor.receive(), editor.receive()]
    assert [(answer["id"], answer["error"]["code"]) for answer in answers] == [(2, -32600)] * 2
    editor.daemons_may_answer.set()
    assert editor.receive() == {"jsonrpc": "2.0", "id": 2, "result": "the result"}
    editor.close()
