from __future__ import annotations

import os
import subprocess
import sys

import pytest

from starcoder_ls.daemon import activity
from starcoder_ls.daemon.activity import PATIENCE_S, ActivityReader, ActivityWriter, Suspects, document_hash, entry
from starcoder_ls.errors import DaemonError

A, B = "file:///a.py", "file:///b.py"


def test_reader_sees_heartbeats_and_the_process() -> None:
    writer = ActivityWriter()
    writer.beat()
    reader = ActivityReader(os.dup(writer.descriptor))
    writer.beat(20)
    assert (reader.pid, reader.beats, reader.patience_s) == (os.getpid(), 2, 20)
    writer.beat()
    assert (reader.beats, reader.patience_s) == (3, PATIENCE_S)


def test_suspect_is_exact_if_only_one_document_is_worked_on() -> None:
    writer = ActivityWriter()
    writer.beat()
    reader = ActivityReader(os.dup(writer.descriptor))
    assert reader.suspects() == Suspects()
    slot = writer.add_request(entry(7, A))
    assert reader.suspects() == Suspects(frozenset({(7, document_hash(A))}))
    writer.begin(entry(7, A))
    assert reader.suspects().is_exact
    writer.begin(entry(8, B))
    assert reader.suspects() == Suspects(frozenset({(7, document_hash(A)), (8, document_hash(B))}))
    writer.end()
    writer.remove_request(slot)
    assert reader.suspects() == Suspects()


def test_requests_beyond_the_slots_are_not_recorded() -> None:
    writer = ActivityWriter()
    slots = [writer.add_request(entry(1, f"file:///{number}")) for number in range(100)]
    assert slots.count(None) == 36
    for slot in slots:
        writer.remove_request(slot)
    assert writer.add_request(entry(1, A)) is not None


def test_suspects_are_readable_after_the_process_was_killed() -> None:
    script = f"""
import os, socket, sys
from starcoder_ls.daemon.activity import ActivityWriter, entry
writer = ActivityWriter()
writer.beat()
writer.begin(entry(5, {A!r}))
connection = socket.socket(fileno=0)  # kept: a socket that is collected closes its descriptor
socket.send_fds(connection, [b"x"], [writer.descriptor])
connection.recv(1)
"""
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen([sys.executable, "-c", script], stdin=theirs.fileno())
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        reader = ActivityReader(descriptors[0])
        assert reader.is_process_alive()
        assert reader.pid == process.pid
        process.kill()
        process.wait()
        assert not reader.is_process_alive()
        assert reader.suspects() == Suspects(frozenset({(5, document_hash(A))}), is_exact=True)
        reader.close()


def test_other_file_is_rejected() -> None:
    with pytest.raises(DaemonError):
        ActivityReader(os.open(os.devnull, os.O_RDONLY))


def test_hash_of_a_long_uri_is_not_cached() -> None:
    activity._cached_hash.cache_clear()
    hashes = [activity.document_hash(uri) for uri in ("file:///a", "x" * 1_000_000, "x" * 1_000_001)]
    assert len(set(hashes)) == 3
    assert activity._cached_hash.cache_info().currsize == 1
