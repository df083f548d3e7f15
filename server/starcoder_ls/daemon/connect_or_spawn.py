"""Join the resident process of this user and model, or start it: exactly one, however many windows come at once.

Decides who starts it (whoever holds the lock binds the socket and hands it on, so that nobody waits for an import).
Refuses to know what is said once the process has let the window in.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starcoder_ls.daemon import runtime_dir
from starcoder_ls.errors import DaemonError
from starcoder_ls.lsp.framing import FrameReader, FramingError, frame

HELLO_S = 30.0
"""A first start imports for seconds; a process that was stopped (SIGSTOP) never answers."""

_TRIES, _STARTS = 5, 2
"""One that was here may be about to end, which is no fault; one that we started and that ends at once is broken."""

_BACKLOG = 128

logger = logging.getLogger(__name__)


def connect_or_spawn(path: Path, program: Sequence[str], hello: Mapping[str, Any]) -> socket.socket:
    """A connection to the process behind ``path``, which is started as ``program`` if need be, and has let us in.

    ``program`` gets two arguments more: the listening socket's descriptor, and ``path``. Raises DaemonError.
    """
    starts = 0
    for _ in range(_TRIES):
        connection = runtime_dir.connected(path)
        if connection is None:
            with runtime_dir.locked(path):
                connection = runtime_dir.connected(path)
                if connection is None:
                    if starts == _STARTS:
                        break
                    starts += 1
                    _start(path, program)
                    connection = runtime_dir.connected(path)
        if connection is None:
            continue
        reply = greeted(connection, hello)
        if reply is None:  # it was about to end, or could not begin
            continue
        if (refusal := reply.get("refusal")) is not None:
            connection.close()
            raise Refused(str(refusal))
        return connection
    with runtime_dir.locked(path):
        if runtime_dir.connected(path) is None:
            path.unlink(missing_ok=True)
    raise DaemonError("The resident process ends as soon as it is started. `starcoder-ls logs` may say more.")


class Refused(DaemonError):
    """The process runs and said why this window cannot be served, such as a bad setting."""


def greeted(connection: socket.socket, hello: Mapping[str, Any], seconds: float = HELLO_S) -> dict[str, Any] | None:
    """Say ``hello``; the answer, or None (and closed) if there was none. It says nothing more until we do."""
    frames = FrameReader()
    connection.settimeout(seconds)
    try:
        connection.sendall(framed(hello))
        while chunk := connection.recv(65536):
            for body in frames.feed(chunk):
                connection.settimeout(None)
                answer = json.loads(body)
                return answer if isinstance(answer, dict) else None
    except TimeoutError as error:
        connection.close()
        raise DaemonError("The resident process does not answer. `starcoder-ls stop` ends it.") from error
    except (OSError, ValueError, FramingError):
        pass
    connection.close()
    return None


def framed(message: Mapping[str, Any]) -> bytes:
    """What windows, commands and the process say to each other outside of a session."""
    return frame(json.dumps(message).encode())


def _start(path: Path, program: Sequence[str]) -> None:
    """A process of its own session, so that it outlives this one. We hold the lock, and nobody answers at ``path``."""
    path.unlink(missing_ok=True)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        try:
            listener.bind(os.fspath(path))
            path.chmod(0o600)
            listener.listen(_BACKLOG)
            subprocess.Popen(
                [*program, str(listener.fileno()), os.fspath(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=(listener.fileno(),),
                start_new_session=True,
            ).returncode = 0  # nobody waits for it: it is not ours
        except OSError as error:
            path.unlink(missing_ok=True)
            raise DaemonError(f"The resident process cannot be started at {path}: {error.strerror}.") from error


def unshared(program: Sequence[str]) -> socket.socket:
    """A server for this window alone, at the other end of a socket pair; it ends when the pair does."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(theirs):
        try:
            subprocess.Popen(program, stdin=theirs.fileno(), stdout=theirs.fileno()).returncode = 0
        except OSError as error:
            ours.close()
            raise DaemonError(f"No server can be started: {error.strerror}.") from error
    return ours


def reap() -> None:
    """Let go of processes that we started and that have ended: nobody else could while we live."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
