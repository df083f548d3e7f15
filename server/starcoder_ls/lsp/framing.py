"""LSP frames in a byte stream: headers, an empty line, a body.

Decides what is tolerated (headers in any case, bare LF, blank lines between frames) and what ends the stream: every
error here does, because after a wrong length nothing tells where the next frame starts. Refuses to know JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_HEADER_BYTES = 8 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024

_FIELD_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")  # "token" of RFC 9110
_LENGTH = re.compile(rb"[0-9]{1,20}")


class FramingError(Exception):
    """The stream cannot be read any further. The message never quotes a body."""


def frame(body: bytes) -> bytes:
    """``body`` as it goes over the wire."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class FrameReader:
    """Cuts chunks of any size into bodies. Holds one unfinished frame at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header_bytes = 0
        self._length: int | None = None
        self._is_in_body = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Bodies complete with ``chunk``. Raises FramingError, after those that came before the error."""
        self._buffer += chunk
        while self._is_in_body or self._read_header():
            length = self._length or 0
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            self._is_in_body, self._length, self._header_bytes = False, None, 0
            yield body

    def rest(self) -> bytes:
        """What follows the last body; from here on it is the caller's."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _read_header(self) -> bool:
        """Take whole header lines off the buffer; True once the body begins."""
        while (end := self._buffer.find(b"\n", 0, MAX_HEADER_BYTES)) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            is_first = self._header_bytes == 0
            if not line and is_first:
                continue
            self._header_bytes += end + 1
            if self._header_bytes > MAX_HEADER_BYTES:
                break
            if not line:
                if self._length is None:
                    raise FramingError("A header has no Content-Length.")
                self._is_in_body = True
                return True
            self._read_field(line)
        if self._header_bytes + len(self._buffer) > MAX_HEADER_BYTES:
            raise FramingError(f"A header is longer than {MAX_HEADER_BYTES} bytes.")
        _check_name(bytes(self._buffer).partition(b":")[0].removesuffix(b"\r"))  # garbage need not end in LF
        return False

    def _read_field(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        _check_name(name)
        if not colon or not name:
            raise FramingError("A header line has no name or no colon. Is this HTTP?")
        if name.lower() != b"content-length":
            return
        if not _LENGTH.fullmatch(value.strip(b" \t")):
            raise FramingError("A Content-Length is not a number.")
        length = int(value)
        if length > MAX_BODY_BYTES:
            raise FramingError(f"A body of {length} bytes is announced; {MAX_BODY_BYTES} is the most taken.")
        if self._length not in (None, length):
            raise FramingError("A header has two different values for Content-Length.")
        self._length = length


def _check_name(name: bytes) -> None:
    if not _FIELD_NAME.fullmatch(name):
        raise FramingError("What should be a header line is none. Is this HTTP, or was a Content-Length wrong?")
