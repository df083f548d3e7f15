"""Where a resident process is found: a socket in a folder of this user, named after what would run behind it.

Decides which windows share, and who is trusted on a socket. Refuses to know what is said over it. Standard library
only: each window pays for what is imported here.
"""

from __future__ import annotations

import contextlib
import fcntl
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

_OVERRIDE = "STARCODER_LS_RUNTIME"
_FAMILIES = ("CUDA_", "HF_", "TORCH_", "PYTORCH_", "STARCODER_LS_")
_SINGLE = ("HOME", "PYTHONPATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
"""Variables that change what a process loads or where it writes: windows that differ in one do not share."""

RESIDENT = [sys.executable, "-m", "starcoder_ls", "resident"]
"""The program of the resident process."""

_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1  # macOS: sys/un.h


def runtime_dir() -> Path:
    """The user's own folder for sockets, made if need be: `$STARCODER_LS_RUNTIME`, the session's runtime folder, or one
    under the temporary folder. Raises DaemonError where it cannot be made or is not this user's alone."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if override := os.environ.get(_OVERRIDE):
        path = Path(override)
    elif runtime and os.path.isdir(runtime):
        path = Path(runtime) / "starcoder-ls"
    else:
        path = Path(tempfile.gettempdir()) / f"starcoder-ls-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise DaemonError(f"The folder {path} cannot be made: {error.strerror}. Set XDG_RUNTIME_DIR.") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise DaemonError(f"{path} is not a folder that is yours alone. Remove it, or make it yours with mode 700.")
    return path


def key(program: list[str], model: Mapping[str, Any]) -> str:
    """Equal for windows that may share: same version, program, model settings, and environment where it matters."""
    surroundings = {name: value for name, value in os.environ.items() if name.startswith(_FAMILIES) or name in _SINGLE}
    said = [__version__, program, dict(model), surroundings]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def socket_path(name: str) -> Path:
    """Raises DaemonError where the system takes no path as long as this."""
    path = runtime_dir() / f"{name}.sock"
    if len(os.fsencode(path)) > 100:  # 104 on macOS, 108 on Linux, with the final zero
        raise DaemonError(f"{path.parent} is too long a path for a socket. Set {_OVERRIDE} to a shorter one.")
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone with the socket at ``path``, among all processes. Leaves no file. Raises DaemonError on a full disk."""
    lock = path.with_suffix(".lock")
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DaemonError(f"{lock} cannot be written: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_at(descriptor, lock):  # whoever held it before has removed it
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def identity(path: Path) -> tuple[int, int] | None:
    """Differs between two sockets that were bound to the same path; None if there is nothing."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def connected(path: Path) -> socket.socket | None:
    """To the process behind ``path``; None if there is none. Raises DaemonError if it is another user's."""
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
    """Raises DaemonError unless this user is at the other end."""
    user = peer_user(connection)
    if user is not None and user != os.getuid():
        raise DaemonError(f"User {user} is at the other end of the socket. Nothing was said.")


def peer_user(connection: socket.socket) -> int | None:
    """The user id at the other end; None where the system does not tell, and the folder's mode must do."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1])
    if sys.platform == "darwin":
        return int(struct.unpack("2I", connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)[:8])[1])
    return None
