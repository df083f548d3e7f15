"""Connect to the daemon of this user and model, or spawn it: exactly one, however many windows start at once.

The holder of the lock spawns it. It binds the listening socket itself and passes it on, so that the other windows can
connect before the daemon has finished its imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starcoder_ls.daemon import runtime_dir
from starcoder_ls.daemon.message import encode_frame
from starcoder_ls.errors import DaemonError
from starcoder_ls.lsp.framing import FrameReader, FramingError

HANDSHAKE_TIMEOUT_S = 30.0
"""The imports of a new daemon take seconds. A stopped one (SIGSTOP) never answers."""

_MAX_ATTEMPTS, _MAX_SPAWNS = 5, 2
"""A daemon that was found may just be exiting, which is no error. One that exits at once after it was spawned is
broken."""

_LISTEN_BACKLOG = 128


class ClientRejected(DaemonError):
    """The daemon runs and says why it cannot serve this window, such as an invalid setting."""


OnDescriptor = Callable[[int], None]
"""Takes a file descriptor that came with an answer, and owns it."""


def connect_or_spawn(
    path: Path, command: Sequence[str], hello: Mapping[str, Any], on_activity: OnDescriptor = os.close
) -> socket.socket:
    """A connection to the daemon at ``path`` that has accepted ``hello``. Spawns ``command`` if there is none.

    ``on_activity`` gets the descriptor of the daemon's shared memory (``daemon.activity``), if the daemon has one.
    ``command`` gets two more arguments: the file descriptor of the listening socket, and ``path``.
    Raises ClientRejected if the daemon rejects ``hello``, and DaemonError if it cannot be started or does not answer.
    """
    spawns = 0
    for _ in range(_MAX_ATTEMPTS):
        connection = runtime_dir.connect(path)
        if connection is None:
            with runtime_dir.lock(path):
                connection = runtime_dir.connect(path)
                if connection is None:
                    if spawns == _MAX_SPAWNS:
                        break
                    spawns += 1
                    _spawn(path, command)
                    connection = runtime_dir.connect(path)
        if connection is None:
            continue
        answer = exchange(connection, hello, on_descriptor=on_activity)
        if answer is None:  # it was exiting, or could not start
            continue
        if (rejection := answer.get("rejection")) is not None:
            connection.close()
            raise ClientRejected(str(rejection))
        return connection
    with runtime_dir.lock(path):
        if runtime_dir.connect(path) is None:
            path.unlink(missing_ok=True)
    raise DaemonError("The daemon exits as soon as it is started. `starcoder-ls logs` may say why.")


def exchange(
    connection: socket.socket,
    request: Mapping[str, Any],
    timeout_s: float = HANDSHAKE_TIMEOUT_S,
    on_descriptor: OnDescriptor = os.close,
    more: bytes = b"",
) -> dict[str, Any] | None:
    """Send ``request``, then ``more`` bytes, and return the answer, a single frame.

    None if there is none; the connection is closed then.

    Raises DaemonError if nothing arrives for ``timeout_s``.
    """
    frames = FrameReader()
    connection.settimeout(timeout_s)
    try:
        connection.sendall(encode_frame(request) + more)
        while chunk := _receive(connection, on_descriptor):
            for body in frames.feed_data(chunk):
                connection.settimeout(None)
                answer = json.loads(body)
                return answer if isinstance(answer, dict) else None
    except TimeoutError as error:
        connection.close()
        raise DaemonError("The daemon does not answer. Run `starcoder-ls stop` to end it.") from error
    except (OSError, ValueError, FramingError):
        pass
    connection.close()
    return None


def _receive(connection: socket.socket, on_descriptor: OnDescriptor) -> bytes:
    chunk, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
        on_descriptor(descriptor)
    return chunk


def _spawn(path: Path, command: Sequence[str]) -> None:
    """Spawn the daemon in a session of its own, so that it outlives this process. The caller holds the lock."""
    path.unlink(missing_ok=True)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        try:
            listener.bind(os.fspath(path))
            path.chmod(0o600)
            listener.listen(_LISTEN_BACKLOG)
            subprocess.Popen(
                [*command, str(listener.fileno()), os.fspath(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                pass_fds=(listener.fileno(),),
                start_new_session=True,
            ).returncode = 0  # prevents Popen's warning that the child still runs
        except OSError as error:
            path.unlink(missing_ok=True)
            raise DaemonError(f"The daemon cannot be started at {path}: {error.strerror}.") from error


def spawn_private_server(command: Sequence[str]) -> socket.socket:
    """Spawn a server for this window alone and return our end of its socket pair. It exits when that is closed.

    Raises DaemonError if ``command`` cannot be run.
    """
    ours, theirs = socket.socketpair()
    with contextlib.closing(theirs):
        try:
            subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno()).returncode = 0
        except OSError as error:
            ours.close()
            raise DaemonError(f"No server can be started: {error.strerror}.") from error
    return ours


def reap_children() -> None:
    """Reap processes that were spawned here and have ended, which would stay zombies as long as this process runs."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
