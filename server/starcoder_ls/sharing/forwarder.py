"""One window: bytes between its editor and the resident process, and a new process for one that has ended.

Decides that the editor notices a pause at most, and that each request is answered once. Refuses to know methods: what
has to be said again is the journal's.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from starcoder_ls.errors import SharingError
from starcoder_ls.sharing import joining, place
from starcoder_ls.sharing.journal import Journal
from starcoder_ls.sharing.orphans import watch_editor
from starcoder_ls.sharing.wanted import Wanted
from starcoder_ls.transport.framing import FrameReader, FramingError, frame

GOODBYE = "starcoder-ls/goodbye"
"""The process ends in order: a new one is not wanted before the editor asks for something."""

_CHUNK_BYTES = 64 * 1024
_LEAVING_S = 1.5
_MANY_ENDS, _WITHIN_S, _REST_S = 4, 60.0, 30.0

Connect = Callable[[Journal], socket.socket]


def run(wanted: Wanted, program: Sequence[str], alone: Sequence[str]) -> int:
    """Serve the editor at standard input and output; the exit code LSP asks for.

    ``program`` is the resident process, ``alone`` a server for this window only, where sharing cannot be.
    """

    def connect(journal: Journal) -> socket.socket:
        try:
            name = place.key([*program], wanted.model(journal.first))
            return joining.joined(place.socket_path(name), program, wanted.hello())
        except joining.Refused:
            raise
        except SharingError as error:
            _say(f"{error} This window has a server of its own.")
            return joining.unshared(alone)

    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    return Forwarder(connect, source, sink).run()


class Forwarder:
    """Two threads: this one reads the editor, the other the process. Only the other one connects."""

    def __init__(self, connect: Connect, source: int, sink: int) -> None:
        self._connect, self._source, self._sink = connect, source, sink
        self._journal = Journal()
        self._changed = threading.Condition()
        self._socket: socket.socket | None = None
        self._is_resting = False
        self._is_over = False
        self._has_begun = False
        self._ends: list[float] = []
        self._failure = ""

    def run(self) -> int:
        reader = threading.Thread(target=self._follow, name="resident", daemon=True)
        reader.start()
        frames = FrameReader()
        try:
            while not self._journal.has_exited and (chunk := self._read_editor()):
                for body in frames.feed(chunk):
                    self._from_editor(body)
        except FramingError as error:
            _say(f"{error} The connection is closed.")
        self._end()
        reader.join(_LEAVING_S)
        if self._failure:
            _say(self._failure)
        return 0 if self._journal.has_shut_down and not self._failure else 1

    def _read_editor(self) -> bytes:
        try:
            return os.read(self._source, _CHUNK_BYTES)
        except OSError:
            return b""

    def _from_editor(self, body: bytes) -> None:
        with self._changed:
            asked = self._journal.sent(body)
            if not self._has_begun:
                self._has_begun = True
                watch_editor(self._journal.first.get("processId"), self._hang_up)
            told = self._journal.given_up(is_all=True) if self._is_resting else []
            connection = self._socket
            self._changed.notify_all()
        for answer in told:
            self._to_editor(answer)
        if connection is not None:
            with contextlib.suppress(OSError):  # it is in the journal: the next process hears it
                connection.sendall(b"".join(map(frame, (body, *asked))))

    def _follow(self) -> None:
        """The other thread: one process after the other, until the editor leaves."""
        has_said_goodbye = False
        while self._await_need(has_said_goodbye):
            try:
                connection = self._connect(self._journal)
            except SharingError as error:
                self._failure = str(error)
                self._hang_up()
                return
            with self._changed:
                bodies = self._journal.replay()
                self._socket = connection
                with contextlib.suppress(OSError):  # it has ended again: reading says so
                    connection.sendall(b"".join(map(frame, bodies)))
                if self._is_over:
                    _half_close(connection)
            has_said_goodbye = self._from_process(connection)
            with self._changed:
                self._socket = None
                answers = [] if self._is_over else self._journal.given_up()
            connection.close()
            for body in answers:
                self._to_editor(body)
            if not self._is_over and not has_said_goodbye:
                self._breathe()

    def _await_need(self, is_idle: bool) -> bool:
        """Until there is something to connect for; False once the editor has left."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_over or (self._journal.has_requests if is_idle else self._has_begun)
            )
            return not self._is_over

    def _from_process(self, connection: socket.socket) -> bool:
        """Until it ends. True if it said goodbye."""
        frames = FrameReader()
        try:
            while chunk := connection.recv(_CHUNK_BYTES):
                for body in frames.feed(chunk):
                    if GOODBYE.encode() in body[:100]:
                        return True
                    with self._changed:
                        is_for_editor = self._journal.received(body)
                    if is_for_editor:
                        self._to_editor(body)
        except (OSError, FramingError):
            pass
        return False

    def _breathe(self) -> None:
        """A process that ends again and again is started at leisure; meanwhile requests are refused at once."""
        now = time.monotonic()
        self._ends = [end for end in self._ends if end > now - _WITHIN_S] + [now]
        if len(self._ends) < _MANY_ENDS:
            return
        text = f"StarCoder: the model's process has ended {len(self._ends)} times in a minute; `starcoder-ls logs` says"
        self._show(f"{text} why. It is started again in {_REST_S:.0f} s.")
        with self._changed:
            self._is_resting = True
            answers = self._journal.given_up(is_all=True)
        for body in answers:
            self._to_editor(body)
        with self._changed:
            self._changed.wait_for(lambda: self._is_over, _REST_S)
            self._is_resting = False
            self._ends.clear()

    def _show(self, text: str) -> None:
        params = {"type": 1, "message": text}
        self._to_editor(json.dumps({"jsonrpc": "2.0", "method": "window/showMessage", "params": params}).encode())

    def _to_editor(self, body: bytes) -> None:
        """A slow editor holds us, and through the socket the process, which bounds what waits."""
        view = memoryview(frame(body))
        with _WRITING:
            try:
                while view:
                    view = view[os.write(self._sink, view) :]
            except OSError:  # EPIPE: nobody reads any more
                self._hang_up()

    def _end(self) -> None:
        """The editor has left: the process hears that nothing more comes, and may still answer."""
        with self._changed:
            self._is_over = True
            connection = self._socket
            self._changed.notify_all()
        if connection is not None:
            _half_close(connection)

    def _hang_up(self) -> None:
        """From any thread: end as if the editor had. Reading its pipe cannot be interrupted, so the process ends."""
        self._end()
        if self._failure:
            _say(self._failure)
        os._exit(1)


_WRITING = threading.Lock()


def _half_close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def _say(text: str) -> None:
    """On standard error, which may be gone with the editor."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"starcoder-ls: {text}\n")
        sys.stderr.flush()
