"""The window's process in this one, with a resident process that is scripted; real ones are in tests/e2e."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from typing import Any

from starcoder_ls.daemon.forwarder import GOODBYE, Forwarder
from starcoder_ls.daemon.replay_log import ReplayLog
from starcoder_ls.lsp.framing import FrameReader, frame


def framed(**members: Any) -> bytes:
    return frame(json.dumps({"jsonrpc": "2.0", **members}).encode())


class Editor:
    """Both pipes of a Forwarder that runs in a thread, and how often it has connected."""

    def __init__(self, *lives: bytes) -> None:
        self._lives, self.connections = list(lives), 0
        editor_in, self._to = os.pipe()
        self._from, editor_out = os.pipe()
        self._frames, self._waiting = FrameReader(), list[dict[str, Any]]()
        self.exit_code = -1
        self._thread = threading.Thread(target=self._run, args=(editor_in, editor_out), daemon=True)
        self._thread.start()

    def _run(self, source: int, sink: int) -> None:
        self.exit_code = Forwarder(self._connect, source, sink).run()
        os.close(source)
        os.close(sink)

    def _connect(self, _: ReplayLog) -> socket.socket:
        """A process that says the next of its lines once it has been told something, and ends."""
        ours, theirs = socket.socketpair()
        said = self._lives[min(self.connections, len(self._lives) - 1)]
        self.connections += 1

        def live() -> None:
            theirs.recv(65536)
            theirs.sendall(said)
            theirs.close()

        threading.Thread(target=live).start()
        return ours

    def say(self, **members: Any) -> None:
        os.write(self._to, framed(**members))

    def hears(self) -> dict[str, Any]:
        while not self._waiting:
            assert select.select([self._from], [], [], 10)[0], "nothing was said"
            self._waiting += map(json.loads, self._frames.feed(os.read(self._from, 65536)))
        return self._waiting.pop(0)

    def leave(self) -> int:
        os.close(self._to)
        self._thread.join(10)
        os.close(self._from)
        return self.exit_code


def test_a_process_that_ends_again_and_again_is_given_up_with_one_message_and_tried_again_when_the_user_asks() -> None:
    editor = Editor(framed(id=1, result={}), b"", b"", b"", b"", framed(id=5, result="it lives"))
    editor.say(id=1, method="initialize", params={})
    assert editor.hears() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    message = editor.hears()
    assert message["method"] == "window/showMessage"
    assert "4 times in a row" in message["params"]["message"]
    editor.say(id=2, method="textDocument/inlineCompletion", params={"context": {"triggerKind": 2}})
    editor.say(id=3, method="starcoder/status")
    assert editor.hears() == {"jsonrpc": "2.0", "id": 2, "result": None}
    assert editor.hears()["result"]["phase"] == "failed"
    threading.Event().wait(0.3)
    assert editor.connections == 4
    editor.say(id=4, method="workspace/executeCommand")
    refusal = editor.hears()
    assert (refusal["id"], refusal["error"]["code"]) == (4, -32803)
    editor.say(id=6, method="starcoder/status")
    assert editor.hears()["result"]["phase"] == "failed"  # it was given up again, without another message
    editor.say(id=5, method="textDocument/inlineCompletion", params={"context": {"triggerKind": 1}})
    assert editor.hears() == {"jsonrpc": "2.0", "id": 5, "result": "it lives"}
    assert editor.connections == 6
    editor.leave()


def test_an_editor_that_was_not_let_in_yet_hears_it_as_the_answer_to_initialize_and_may_ask_again() -> None:
    editor = Editor(b"", b"", b"", b"", framed(id=2, result={}))
    editor.say(id=1, method="initialize", params={})
    refusal = editor.hears()
    assert refusal["id"] == 1
    assert "4 times in a row" in refusal["error"]["message"]
    editor.say(id=2, method="initialize", params={})
    assert editor.hears() == {"jsonrpc": "2.0", "id": 2, "result": {}}
    editor.leave()


def test_no_process_is_started_to_hear_of_the_end() -> None:
    editor = Editor(framed(id=1, result={}) + framed(method=GOODBYE))
    editor.say(id=1, method="initialize", params={})
    assert editor.hears()["id"] == 1
    editor.say(id=2, method="shutdown")
    assert editor.hears() == {"jsonrpc": "2.0", "id": 2, "result": None}
    editor.say(method="exit")
    assert editor.leave() == 0
    assert editor.connections == 1


def test_half_an_answer_of_a_process_that_ended_is_not_passed_on() -> None:
    answer = framed(id=1, result={})
    editor = Editor(answer[:-3], answer)
    editor.say(id=1, method="initialize", params={})
    assert editor.hears() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    editor.leave()


def test_after_a_goodbye_only_a_request_brings_a_new_process() -> None:
    editor = Editor(framed(id=1, result={}) + framed(method=GOODBYE), framed(id=2, result=3))
    editor.say(id=1, method="initialize", params={})
    assert editor.hears()["id"] == 1
    editor.say(method="initialized")
    editor.say(method="textDocument/didSave")
    threading.Event().wait(0.3)
    assert editor.connections == 1
    editor.say(id=2, method="starcoder/status")
    assert editor.hears()["result"] == 3
    editor.leave()


def test_garbage_from_the_editor_ends_the_window() -> None:
    editor = Editor(b"")
    editor.say()
    os.write(editor._to, b"GET / HTTP/1.1\r\n\r\n")
    assert editor.leave() == 1
