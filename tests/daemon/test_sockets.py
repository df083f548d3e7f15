from __future__ import annotations

import contextlib
import socket
import threading

from starcoder_ls.daemon import sockets


def send_until_closed(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(b"x" * 8_000_000)


def test_disconnect_wakes_a_thread_that_is_blocked_in_sending() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        sending = threading.Thread(target=send_until_closed, args=(ours,))
        sending.start()
        theirs.recv(1)
        sockets.disconnect(ours)
        sending.join()


def test_daemon_still_sends_after_the_end_of_its_input() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sockets.close_sending(ours)
        assert theirs.recv(1) == b""
        theirs.sendall(b"last")
        assert ours.recv(4) == b"last"
