"""Memory that a daemon shares with its windows: a heartbeat, and which document it is working on.

It is a nameless file whose descriptor each window receives over the socket, so it can still be read after ``kill -9``
and while a C function holds the daemon's GIL. It holds hashes, no names. The daemon locks it, which proves that the
process whose id it holds still lives. Standard library only, since each window pays for the imports.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import mmap
import os
import struct
import sys
import tempfile
from dataclasses import dataclass

from starcoder_ls.errors import DaemonError

if sys.platform != "win32":  # which has no daemon, but its commands import this module
    import fcntl

PATIENCE_S = 5
"""How long windows wait for a sign of life."""

_HEADER = struct.Struct("<8sIIQ")  # magic, process id, patience in seconds, number of heartbeats
_MAGIC = b"scls-act"
_ENTRY = struct.Struct("<?q16s")  # is in use, process id of the window, hash of the document's URI
_NO_ENTRY = bytes(_ENTRY.size)
_LOOP_OFFSET, _REQUESTS_OFFSET, _MAX_REQUESTS = 64, 128, 64
_SIZE_BYTES = 4096
_MAX_CACHED_URI_CHARS = 1000


def document_hash(uri: str) -> bytes:
    """Cached for the URIs of usual length."""
    return _cached_hash(uri) if len(uri) <= _MAX_CACHED_URI_CHARS else _hash(uri)


def _hash(uri: str) -> bytes:
    return hashlib.blake2b(uri.encode("utf-8", "surrogatepass"), digest_size=16).digest()


_cached_hash = functools.lru_cache(maxsize=512)(_hash)


def entry(window: int, uri: str) -> bytes:
    """What is being worked on: a message of ``window`` about the document ``uri``, empty for any other message."""
    return _ENTRY.pack(True, window, document_hash(uri))


@dataclass(frozen=True, slots=True)
class Suspects:
    """What a daemon worked on when it ended or hung, as pairs of a window and the hash of a document.

    ``is_exact`` if the event loop was processing a message of a single document; otherwise they are the documents of
    all requests that the model was working on.
    """

    entries: frozenset[tuple[int, bytes]] = frozenset()
    is_exact: bool = False


class ActivityWriter:
    """The daemon's side. All methods are called on the thread of its event loop.

    The constructor raises OSError if the system provides no memory for it, as with a file size limit of 0.
    """

    def __init__(self) -> None:
        self.descriptor = _create_file()
        try:
            os.ftruncate(self.descriptor, _SIZE_BYTES)
            self._memory = mmap.mmap(self.descriptor, _SIZE_BYTES)
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        except OSError:
            os.close(self.descriptor)
            raise
        self._beats = 0
        self._free_slots = list(range(_MAX_REQUESTS))

    def beat(self, patience_s: int = PATIENCE_S) -> None:
        """Record a sign of life; after ``patience_s`` without another one the process counts as hung."""
        self._beats += 1
        self._memory[: _HEADER.size] = _HEADER.pack(_MAGIC, os.getpid(), patience_s, self._beats)

    def begin(self, entry: bytes) -> None:
        """The event loop processes a message, or continues its work."""
        self._memory[_LOOP_OFFSET : _LOOP_OFFSET + _ENTRY.size] = entry

    def end(self) -> None:
        self._memory[_LOOP_OFFSET : _LOOP_OFFSET + _ENTRY.size] = _NO_ENTRY

    def add_request(self, entry: bytes) -> int | None:
        """The model begins to work on a request. Returns a slot for ``remove_request``; None if all are in use."""
        if not self._free_slots:
            return None
        slot = self._free_slots.pop()
        self._write_slot(slot, entry)
        return slot

    def remove_request(self, slot: int | None) -> None:
        if slot is not None:
            self._write_slot(slot, _NO_ENTRY)
            self._free_slots.append(slot)

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)

    def _write_slot(self, slot: int, entry: bytes) -> None:
        offset = _REQUESTS_OFFSET + slot * _ENTRY.size
        self._memory[offset : offset + _ENTRY.size] = entry


class ActivityReader:
    """A window's side. Takes ownership of ``descriptor``. The constructor raises DaemonError for another file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        try:
            self._memory = mmap.mmap(descriptor, _SIZE_BYTES, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            os.close(descriptor)
            raise DaemonError("The daemon's shared memory cannot be read.") from error
        if self._memory[: len(_MAGIC)] != _MAGIC:
            self.close()
            raise DaemonError("The daemon's shared memory is of another version.")

    @property
    def pid(self) -> int:
        return int(self._header()[1])

    @property
    def patience_s(self) -> int:
        return int(self._header()[2])

    @property
    def beats(self) -> int:
        return int(self._header()[3])

    def is_process_alive(self) -> bool:
        """Whether the daemon has not ended, so that ``pid`` is still its id."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        with contextlib.suppress(OSError):
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
        return False

    def suspects(self) -> Suspects:
        in_loop = self._entry(_LOOP_OFFSET)
        requests = {self._entry(_REQUESTS_OFFSET + slot * _ENTRY.size) for slot in range(_MAX_REQUESTS)}
        entries = frozenset(found for found in (in_loop, *requests) if found is not None)
        return Suspects(entries, is_exact=in_loop is not None and len(entries) == 1)

    def close(self) -> None:
        self._memory.close()
        os.close(self._descriptor)

    def _header(self) -> tuple[bytes, int, int, int]:
        return _HEADER.unpack(self._memory[: _HEADER.size])

    def _entry(self, offset: int) -> tuple[int, bytes] | None:
        is_used, window, digest = _ENTRY.unpack(self._memory[offset : offset + _ENTRY.size])
        return (window, digest) if is_used else None


def _create_file() -> int:
    """The descriptor of a new file without a name, closed in child processes."""
    if sys.platform == "linux":
        return os.memfd_create("starcoder-ls-activity")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
