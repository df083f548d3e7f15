"""One window: bytes between its editor and the resident process, and a new process for one that has ended.

Decides that the editor notices a pause at most, and that each request is answered once. Refuses to know methods: what
has to be said again is the journal's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from starcoder_ls.daemon import connect_or_spawn, offline_replies, runtime_dir
from starcoder_ls.daemon.editor_watch import watch_editor
from starcoder_ls.daemon.launch_options import LaunchOptions
from starcoder_ls.daemon.replay_log import ReplayLog
from starcoder_ls.errors import DaemonError
from starcoder_ls.lsp.framing import FrameReader, FramingError, frame

GOODBYE = "starcoder-ls/goodbye"
"""The process ends in order: a new one is not wanted before the editor asks for something."""

_CHUNK_BYTES = 64 * 1024
_LEAVING_S = 1.5
_MANY_ENDS, _STEADY_S = 4, 300.0
"""So many lives in a row, each shorter, and the process is given up. A large model loads for minutes, then fails."""
_REST_S, _LONGEST_REST_S = 30.0, 600.0
"""Before what the editor asks by itself tries again; doubled each time. What the user asks for tries at once."""

Connect = Callable[[ReplayLog], socket.socket]


def run(wanted: LaunchOptions, program: Sequence[str], alone: Sequence[str]) -> int:
    """Serve the editor at standard input and output; the exit code LSP asks for.

    ``program`` is the resident process, ``alone`` a server for this window only, where sharing cannot be.
    """

    def connect(journal: ReplayLog) -> socket.socket:
        try:
            name = runtime_dir.key([*program], wanted.model(journal.first))
            return connect_or_spawn.connect_or_spawn(runtime_dir.socket_path(name), program, wanted.hello())
        except connect_or_spawn.Refused:
            raise
        except (DaemonError, OSError) as error:
            _say(f"{error} This window has a server of its own.")
            return connect_or_spawn.unshared(alone)

    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    return Forwarder(connect, source, sink).run()


class Forwarder:
    """Two threads: this one reads the editor, the other the process. Only the other one connects."""

    def __init__(self, connect: Connect, source: int, sink: int) -> None:
        self._connect, self._source, self._sink = connect, source, sink
        self._journal = ReplayLog()
        self._changed = threading.Condition()
        self._socket: socket.socket | None = None
        self._sending = threading.Lock()
        self._is_over = False
        self._has_begun = False
        self._ends = 0
        self._given_up = ""
        self._told = ""
        self._rest_s, self._rest_until = _REST_S, 0.0

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
        return 0 if self._journal.has_shut_down else 1

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
            connection = self._socket
            told = self._journal.dismissed() if connection is None else []
            told += self._refused(body) if self._given_up else []
            self._changed.notify_all()
        for answer in told:
            self._to_editor(answer)
        if connection is not None:
            self._to_process(connection, [body, *asked])

    def _refused(self, body: bytes) -> list[bytes]:
        """The answer to what is asked of a process that was given up; none where this is what brings it back."""
        if offline_replies.is_asked(body) or (self._journal.has_requests and time.monotonic() > self._rest_until):
            self._given_up = ""
            return []
        return self._journal.refused(self._given_up)

    def _to_process(self, connection: socket.socket, bodies: list[bytes]) -> None:
        with self._sending, contextlib.suppress(OSError):  # it has ended: what it missed is in the journal
            connection.sendall(b"".join(map(frame, bodies)))

    def _follow(self) -> None:
        """The other thread: one process after the other, until the editor leaves."""
        is_needed_by = "anything"
        while self._await_need(is_needed_by == "a request"):
            began_s = time.monotonic()
            try:
                connection = self._connect(self._journal)
            except (DaemonError, OSError) as error:
                self._give_up(str(error))
                continue
            with self._changed:
                bodies = self._journal.replay()
                self._socket = connection
                self._to_process(connection, bodies)
                if self._is_over:
                    _half_close(connection)
            has_said_goodbye = self._from_process(connection)
            is_needed_by = "a request" if has_said_goodbye else "anything"
            with self._changed:
                self._socket = None
                answers = [] if self._is_over else self._journal.given_up()
            connection.close()
            connect_or_spawn.reap()
            for body in answers:
                self._to_editor(body)
            if not self._is_over and not has_said_goodbye:
                self._count_end(time.monotonic() - began_s)

    def _await_need(self, is_idle: bool) -> bool:
        """Until there is something to connect for; False once the editor has left."""

        def is_needed() -> bool:
            return not self._given_up and (self._journal.has_requests if is_idle else self._has_begun)

        with self._changed:
            self._changed.wait_for(lambda: self._is_over or is_needed())
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
                        is_for_editor, reply = self._journal.received(body)
                    if reply is not None:
                        self._to_process(connection, [reply])
                    if is_for_editor:
                        self._to_editor(body)
        except (OSError, FramingError):
            pass
        return False

    def _count_end(self, lived_s: float) -> None:
        """A process that ends again and again is given up; the user hears of it once, until one has lived steadily."""
        if lived_s > _STEADY_S:
            self._ends, self._rest_s, self._told = 0, _REST_S, ""
        self._ends += 1
        if self._ends >= _MANY_ENDS:
            sentence = f"The model's process has ended {_MANY_ENDS} times in a row; `starcoder-ls logs` may say why. "
            again = "Asking for a suggestion by hand or running a command starts it again."
            self._give_up(sentence + again)

    def _give_up(self, sentence: str) -> None:
        """From here on ``sentence`` is the answer. Where it answers ``initialize`` the editor shows it, else we do."""
        with self._changed:
            self._given_up = sentence
            self._rest_until = time.monotonic() + self._rest_s
            self._rest_s = min(self._rest_s * 2, _LONGEST_REST_S)
            is_news = sentence != self._told and not self._journal.is_introducing
            self._told = sentence
            answers = self._journal.refused(sentence)
            if is_news:
                answers += offline_replies.told(sentence, self._journal.is_told_status)
        _say(sentence)
        for body in answers:
            self._to_editor(body)

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
