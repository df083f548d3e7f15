"""LSP frames in a byte stream: headers, an empty line, a body.

Header names in any case, bare LF and blank lines between frames are tolerated. Every error ends the stream: after a
wrong length the start of the next frame is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_HEADER_BYTES = 8 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024

_FIELD_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")  # "token" of RFC 9110
_LENGTH = re.compile(rb"[0-9]{1,20}")
_USUAL_HEADER = re.compile(rb"Content-Length: ([0-9]{1,7})\r\n\r\n")
"""The header that editors send."""


class FramingError(Exception):
    """The rest of the stream cannot be read. The message quotes no body."""


def frame(body: bytes) -> bytes:
    """``body`` with its header, as it is sent."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class FrameReader:
    """Splits a byte stream, given in chunks of any size, into message bodies. Buffers at most one unfinished frame."""

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()
        self._header_bytes = 0
        self._content_length: int | None = None
        self._is_in_body = False

    def feed_data(self, chunk: bytes) -> Iterator[bytes]:
        """The bodies that ``chunk`` completes. Raises FramingError, after the bodies that precede the error."""
        self._buffer += chunk
        while self._is_in_body or self._read_header():
            length = self._content_length or 0
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            self._is_in_body, self._content_length, self._header_bytes = False, None, 0
            yield body

    def take_remainder(self) -> bytes:
        """Remove and return the bytes after the last body."""
        remainder = bytes(self._buffer)
        self._buffer.clear()
        return remainder

    def _read_header(self) -> bool:
        """Consume complete header lines; True if the body begins."""
        if not self._header_bytes and (usual := _USUAL_HEADER.match(self._buffer)):
            length, header_bytes = int(usual[1]), usual.end()
            del usual  # which keeps the buffer from being resized
            if length <= self._max_body_bytes:
                del self._buffer[:header_bytes]
                self._content_length, self._is_in_body = length, True
                return True
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
                if self._content_length is None:
                    raise FramingError("A header has no Content-Length.")
                self._is_in_body = True
                return True
            self._read_field(line)
        if self._header_bytes + len(self._buffer) > MAX_HEADER_BYTES:
            raise FramingError(f"A header is longer than {MAX_HEADER_BYTES} bytes.")
        _check_name(bytes(self._buffer).partition(b":")[0].removesuffix(b"\r"))  # garbage may have no LF
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
        if length > self._max_body_bytes:
            raise FramingError(f"A body of {length} bytes was announced; the limit is {self._max_body_bytes} bytes.")
        if self._content_length not in (None, length):
            raise FramingError("A header has two different values for Content-Length.")
        self._content_length = length


def _check_name(name: bytes) -> None:
    if not _FIELD_NAME.fullmatch(name):
        raise FramingError("A header line is invalid. Is this HTTP, or was a Content-Length wrong?")
