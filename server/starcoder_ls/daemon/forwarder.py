"""The process of one window: it forwards messages between the editor's pipes and the daemon.

When the daemon ends, it starts a new one and replays the session, so that the editor notices a pause at most and gets
exactly one answer to each request. It imports no heavy library, since each window pays for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from starcoder_ls.daemon import connect_or_spawn, message, offline_replies, runtime_dir, sockets
from starcoder_ls.daemon.activity import ActivityReader, Suspects
from starcoder_ls.daemon.daemon_failures import HANG_TEXT, DaemonFailures
from starcoder_ls.daemon.editor_watch import watch_editor
from starcoder_ls.daemon.launch_options import LaunchOptions
from starcoder_ls.daemon.liveness import LivenessMonitor, end_process
from starcoder_ls.daemon.message import Message
from starcoder_ls.daemon.replay_log import ReplayLog
from starcoder_ls.daemon.restart_policy import TOO_MANY_FAILURES, RestartPolicy
from starcoder_ls.daemon.window_pipes import READ_BYTES, EditorPipes
from starcoder_ls.errors import DaemonError
from starcoder_ls.lsp.framing import FrameReader, FramingError, frame
from starcoder_ls.printable import escape_control_characters

DAEMON_EXIT = "starcoder-ls/daemonExit"
"""Notification of a daemon that exits in order. A new one is started only for the editor's next request; with the
param ``error``, which the daemon has shown, as after several failed ones."""

_EXIT_TIMEOUT_S = 1.5

Connect = Callable[[ReplayLog], socket.socket]
"""Connects to a daemon for the session of the log. Raises DaemonError, OSError."""


def run(options: LaunchOptions, daemon_command: Sequence[str], private_server_command: Sequence[str]) -> int:
    """Serve the editor on standard input and output and return the exit code that LSP demands.

    ``private_server_command`` starts a server for this window alone, which is used where no daemon can be reached.
    """

    monitor = LivenessMonitor()

    def connect(log: ReplayLog) -> socket.socket:
        monitor.attach(None)
        try:
            key = runtime_dir.daemon_key([*daemon_command], options.engine(log.initialize_params))
            path = runtime_dir.socket_path(key)
            return connect_or_spawn.connect_or_spawn(path, daemon_command, options.hello(), monitor.attach)
        except connect_or_spawn.ClientRejected:  # the settings are invalid: that server waits for their correction
            return connect_or_spawn.spawn_private_server(private_server_command)
        except (DaemonError, OSError) as error:
            _print_error(f"{error} This window starts a server of its own.")
            return connect_or_spawn.spawn_private_server(private_server_command)

    signal.signal(signal.SIGTERM, lambda *_: _exit_now())  # the default would end it with another exit code
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    return Forwarder(connect, source, sink, monitor=monitor).run()


class Forwarder:
    """Forwards with two threads: the caller of ``run`` reads from the editor, the other one connects and reads from
    the daemon. ``source`` and ``sink`` are the file descriptors of the editor's pipes.

    ``monitor`` watches the daemon that ``connect`` has connected to.
    ``_condition`` guards all state. It is never held while sending. ``_send_lock`` orders what is sent to the daemon.
    """

    def __init__(
        self,
        connect: Connect,
        source: int,
        sink: int,
        clock: Callable[[], float] = time.monotonic,
        monitor: LivenessMonitor | None = None,
    ) -> None:
        self._connect, self._clock = connect, clock
        self._editor = EditorPipes(source, sink, on_lost=_exit_now)
        self._log = ReplayLog()
        self._daemon_failures = DaemonFailures(self._log, clock)
        self._monitor = monitor or LivenessMonitor()
        self._monitor.on_hang = self._end_hung_daemon
        self._has_daemon_hung = False
        self._condition = threading.Condition()
        self._connection: socket.socket | None = None
        self._send_lock = threading.Lock()
        self._is_closing = False
        self._has_received = False
        self._has_daemon_exited, self._exit_error = False, ""
        self._restarts = RestartPolicy(clock)

    def run(self) -> int:
        daemon_thread = threading.Thread(target=self._run_daemon_side, name="daemon", daemon=True)
        daemon_thread.start()
        frames = FrameReader()
        try:
            while not self._log.has_exited and (chunk := self._editor.read()):
                for body in frames.feed_data(chunk):
                    self._forward_to_daemon(message.parse(body))
        except FramingError as error:
            _print_error(f"{error} The connection is closed.")
        self._close()
        daemon_thread.join(_EXIT_TIMEOUT_S)
        return 0 if self._log.has_shut_down else 1

    def _forward_to_daemon(self, sent: Message) -> None:
        with self._condition:
            intercepted = self._daemon_failures.intercept(sent)
        if intercepted is not None:
            self._send_all_to_editor(intercepted)
            return
        with self._condition:
            rejection = self._log.rejection_of(sent)
            own_requests = [] if rejection else self._log.record_sent(sent)
            if not self._has_received:
                self._has_received = True
                watch_editor(self._log.initialize_params.get("processId"), _exit_now)
            connection = self._connection
            replies = self._log.answer_shutdown() if connection is None else []
            replies += self._reject_while_unavailable(sent) if rejection is None else [rejection]
            self._condition.notify_all()
        self._send_all_to_editor(replies)
        if connection is not None and rejection is None:
            self._send_to_daemon(connection, [sent.body, *own_requests])

    def _reject_while_unavailable(self, sent: Message) -> list[bytes]:
        """Responses to the open requests while no daemon is started; none if ``sent`` is a reason to start one."""
        if not self._restarts.unavailable_text:
            return []
        is_user_request = offline_replies.is_user_request(sent)
        if (is_user_request or self._log.has_open_requests) and self._restarts.allow_if_due(is_user_request):
            return []
        return self._log.reject_open_requests(self._restarts.unavailable_text)

    def _send_to_daemon(self, connection: socket.socket, bodies: list[bytes]) -> None:
        with self._send_lock:
            self._send(connection, bodies)

    def _run_daemon_side(self) -> None:
        """Serve with one daemon after the other until the editor exits."""
        while self._wait_until_needed():
            started_s = self._clock()
            try:
                connection = self._connect(self._log)
            except (DaemonError, OSError) as error:
                self._stop_starting(str(error))
                continue
            self._attach(connection)
            self._forward_to_editor(connection)
            with self._condition:
                self._connection = None
                replies = [] if self._is_closing else self._record_daemon_end()
            sockets.disconnect(connection)
            connect_or_spawn.reap_children()
            self._send_all_to_editor(replies)
            if self._exit_error and not self._log.is_initializing:
                self._stop_starting(self._exit_error, is_shown=True)
            is_unexpected = not self._is_closing and not self._has_daemon_exited
            if is_unexpected and not self._daemon_failures.is_attributed_elsewhere:
                lifetime_s = self._clock() - started_s
                with self._condition:
                    are_too_many = self._restarts.record_failure(lifetime_s, self._daemon_failures.has_quarantined)
                if are_too_many:
                    self._stop_starting(TOO_MANY_FAILURES)

    def _record_daemon_end(self) -> list[bytes]:
        """Messages to the editor, with the lock held."""
        replies = self._log.record_disconnect()
        if not self._has_daemon_exited and not self._has_daemon_hung:
            activity = self._monitor.activity
            replies += self._daemon_failures.record_crash(activity.suspects() if activity else Suspects())
        return replies

    def _end_hung_daemon(self, activity: ActivityReader) -> None:
        """Answer the editor and end the daemon; its end closes the connection, so that the next one is started."""
        with self._condition:
            connection = self._connection
            if connection is None or self._is_closing:
                return
            self._has_daemon_hung = True
            bodies = self._daemon_failures.record_hang(activity.suspects())
        _print_error(HANG_TEXT)
        threading.Thread(target=self._send_all_to_editor, args=(bodies,), daemon=True).start()  # it may not read
        end_process(activity.pid, activity.is_process_alive)
        sockets.shut_down(connection)

    def _wait_until_needed(self) -> bool:
        """Wait for a reason to connect. False if the editor exits first."""

        def is_needed() -> bool:
            has_reason = self._log.has_open_requests if self._has_daemon_exited else self._has_received
            return has_reason and not self._restarts.unavailable_text

        with self._condition:
            self._condition.wait_for(lambda: self._is_closing or is_needed())
            return not self._is_closing

    def _attach(self, connection: socket.socket) -> None:
        """Make ``connection`` the current one and replay the session. What the editor sends meanwhile follows it."""
        with self._condition:
            bodies = self._log.replay()
            self._connection, self._has_daemon_exited, self._has_daemon_hung = connection, False, False
            self._exit_error = ""
            is_closing = self._is_closing
            self._send_lock.acquire()
        try:
            self._send(connection, bodies)
            if is_closing:
                sockets.close_sending(connection)
        finally:
            self._send_lock.release()

    def _forward_to_editor(self, connection: socket.socket) -> None:
        """Forward until the daemon closes the connection or announces its exit."""
        frames = FrameReader()
        try:
            while chunk := connection.recv(READ_BYTES):
                for body in frames.feed_data(chunk):
                    received = message.parse(body)
                    if received.method == DAEMON_EXIT:
                        self._has_daemon_exited = True
                        self._exit_error = str(received.params.get("error") or "")
                        return
                    with self._condition:
                        self._daemon_failures.record_answer(received)
                        is_for_editor, reply = self._log.record_received(received)
                    if reply is not None:
                        self._send_to_daemon(connection, [reply])
                    if is_for_editor:
                        self._send_to_editor(body)
        except (OSError, FramingError):
            pass

    def _stop_starting(self, error_text: str, is_shown: bool = False) -> None:
        """Answer requests with ``error_text`` from now on, and show it to the user once, unless the daemon has.

        An editor shows the error response to ``initialize`` itself.
        """
        with self._condition:
            is_new = self._restarts.stop(error_text) and not is_shown and not self._log.is_initializing
            bodies = self._log.reject_open_requests(error_text)
            if is_new:
                bodies += offline_replies.failure_notifications(error_text, self._log.has_status_notifications)
        _print_error(error_text)
        self._send_all_to_editor(bodies)

    def _send_all_to_editor(self, bodies: list[bytes]) -> None:
        for body in bodies:
            self._send_to_editor(body)

    def _send_to_editor(self, body: bytes) -> None:
        """Blocks while the editor does not read, which through the socket limits what the daemon can send."""
        self._editor.write(frame(body))

    def _send(self, connection: socket.socket, bodies: list[bytes]) -> None:
        """With the send lock held."""
        with contextlib.suppress(OSError):  # the daemon has ended; the next one gets these messages from the log
            self._editor.send(connection, b"".join(map(frame, bodies)))

    def _close(self) -> None:
        """The editor has exited. The daemon sees the end of its input and may still answer what was sent before."""
        with self._condition:
            self._is_closing = True
            connection = self._connection
            self._condition.notify_all()
        if connection is not None and self._send_lock.acquire(timeout=_EXIT_TIMEOUT_S):
            sockets.close_sending(connection)
            self._send_lock.release()


def _exit_now() -> None:
    """End the process from any thread: a blocking read of the editor's pipe cannot be interrupted."""
    os._exit(1)


def _print_error(text: str) -> None:
    """Write to standard error, which may be closed already or have another encoding."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"starcoder-ls: {escape_control_characters(text)}\n")
        sys.stderr.flush()
