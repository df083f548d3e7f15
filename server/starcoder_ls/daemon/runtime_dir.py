"""Where a daemon is found: a socket in a directory of this user, named by a hash of what the daemon runs.

The hash decides which windows share a daemon. Directory mode and peer credentials decide who is trusted. Standard
library only, since each window pays for the imports.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from starcoder_ls import __version__
from starcoder_ls.errors import DaemonError

if sys.platform != "win32":  # which has no daemon, but its commands import this module
    import fcntl

DAEMON_COMMAND = [sys.executable, "-m", "starcoder_ls", "resident"]

_OVERRIDE = "STARCODER_LS_RUNTIME"
_ENVIRONMENT_PREFIXES = ("CUDA_", "HF_", "TORCH_", "PYTORCH_", "STARCODER_LS_")
_ENVIRONMENT_NAMES = ("HOME", "PYTHONPATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
"""Variables that change what a process loads or where it writes. Windows that differ in one do not share a daemon."""

_MAX_SOCKET_PATH_BYTES = 100  # sun_path has 104 bytes on macOS, 108 on Linux, including the final zero

_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1  # macOS: sys/un.h


def runtime_dir() -> Path:
    """The directory for sockets, created if necessary: `$STARCODER_LS_RUNTIME`, else in `$XDG_RUNTIME_DIR`, else in the
    temporary directory. Raises DaemonError if it cannot be created, or if other users can access it."""
    session_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    if override := os.environ.get(_OVERRIDE):
        path = Path(override)
    elif session_dir and os.path.isdir(session_dir):
        path = Path(session_dir) / "starcoder-ls"
    else:
        path = Path(tempfile.gettempdir()) / f"starcoder-ls-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise DaemonError(f"The directory {path} cannot be created: {error.strerror}. Set XDG_RUNTIME_DIR.") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise DaemonError(f"{path} is not a directory of this user alone. Remove it, or set owner and mode (700).")
    return path


def daemon_key(command: list[str], model: Mapping[str, Any]) -> str:
    """A hash of version, command, model settings, and the environment variables that matter. Equal keys may share."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_ENVIRONMENT_PREFIXES) or name in _ENVIRONMENT_NAMES
    }
    content = json.dumps([__version__, command, dict(model), environment], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def socket_path(key: str) -> Path:
    """Raises DaemonError if the path is too long for a socket, and what ``runtime_dir`` raises."""
    path = runtime_dir() / f"{key}.sock"
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise DaemonError(f"The path {path.parent} is too long for a socket. Set {_OVERRIDE} to a shorter one.")
    return path


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Exclude other processes from starting the daemon at ``path`` or removing its socket. Removes the lock file at the
    end. Raises DaemonError if the lock file cannot be created.
    """
    lock_file = path.with_suffix(".lock")
    while True:
        try:
            descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DaemonError(f"{lock_file} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_at(descriptor, lock_file):  # the previous holder has removed this file
                continue
            try:
                yield
            finally:
                lock_file.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def socket_identity(path: Path) -> tuple[int, int] | None:
    """Inode and modification time, which differ between sockets bound to the same path. None if there is no file."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def connect(path: Path) -> socket.socket | None:
    """A connection to the daemon at ``path``; None if no process listens there.

    Raises DaemonError if the socket cannot be reached or belongs to another user.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.fspath(path))
        check_peer(connection)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise DaemonError(f"{path} cannot be reached: {error.strerror}.") from error
    except DaemonError:
        connection.close()
        raise
    return connection


def check_peer(connection: socket.socket) -> None:
    """Raises DaemonError if the process at the other end belongs to another user."""
    user = peer_user(connection)
    if user is not None and user != os.getuid():
        raise DaemonError(f"The process at the other end of the socket belongs to user {user}. Nothing was sent.")


def peer_user(connection: socket.socket) -> int | None:
    """The user id of the process at the other end. None on systems that do not report it; the mode of the directory
    protects the socket there."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1])
    if sys.platform == "darwin":
        return int(struct.unpack("2I", connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)[:8])[1])
    return None
