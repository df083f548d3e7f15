from __future__ import annotations

import os
import socket
import threading

from starcoder_ls.daemon.window_pipes import EditorPipes


class Window:
    """Pipes to and from an editor that reads and writes nothing by itself."""

    def __init__(self, stall_s: float = 60.0, grace_s: float = 0.0) -> None:
        self.is_lost = threading.Event()
        source, self.to_window = os.pipe()
        self.from_window, sink = os.pipe()
        self.pipes = EditorPipes(source, sink, self.is_lost.set, stall_s, grace_s)


def test_editor_that_never_reads_is_given_up() -> None:
    window = Window(stall_s=0.01)
    window.pipes.write(b"x" * 10_000_000)
    assert window.is_lost.is_set()


def test_editor_that_closed_its_pipe_is_given_up() -> None:
    window = Window()
    os.close(window.from_window)
    window.pipes.write(b"x")
    assert window.is_lost.is_set()


def test_large_message_arrives_whole() -> None:
    window, data = Window(), os.urandom(1_000_000)
    writer = threading.Thread(target=window.pipes.write, args=(data,))
    writer.start()
    received = b""
    while len(received) < len(data):
        received += os.read(window.from_window, 65536)
    writer.join()
    assert received == data
    assert not window.is_lost.is_set()


def test_sending_to_a_stopped_daemon_ends_when_the_editor_is_gone() -> None:
    window = Window()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=window.pipes.send, args=(ours, b"x" * 10_000_000))
        sender.start()
        os.close(window.to_window)
        sender.join()
    assert window.is_lost.is_set()


def test_slow_daemon_receives_everything() -> None:
    window, data = Window(), os.urandom(3_000_000)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=window.pipes.send, args=(ours, data))
        sender.start()
        received = b""
        while len(received) < len(data):
            received += theirs.recv(65536)
        sender.join()
    assert received == data
    assert not window.is_lost.is_set()
