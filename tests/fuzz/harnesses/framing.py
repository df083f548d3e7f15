"""LSP frames and JSON bodies: the same bodies and the same end for every division of a stream into chunks."""

from __future__ import annotations

import itertools
import json
import re

from fuzz.harnesses.checkpoint_files import check_message
from fuzz.input_bytes import join_fields, split_fields
from starcoder_ls.lsp import framing
from starcoder_ls.lsp.framing import FrameReader, FramingError, frame
from starcoder_ls.lsp.json_body import parse_body

MAX_BYTES = 1024
MAX_BODY_BYTES = 300
LONG = b"\x1f"
"""Stands for the number of characters that nearly fills half of a header."""

SEEDS = (
    join_fields(b"\3\7", frame(b'{"jsonrpc": "2.0", "id": 1, "method": "x"}') + frame(b"[1, 2.5e3, null, true]")),
    join_fields(b"\1", b"content-length:2\n\n{}Content-Type: a; charset=utf-8\r\nContent-Length: 4\r\n\r\nnull"),
    join_fields(b"\1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    join_fields(b"\2", b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    join_fields(b"\4", b"\r\n\nContent-Length: 999999999999\r\n\r\n"),
    join_fields(b"\5", b"X: " + LONG + LONG + b'\r\nContent-Length: 2\r\n\r\n"\xff"'),
    join_fields(b"\5", frame('"\\ud83d 😀 \\u0000"'.encode()) + frame(b'{"a": NaN}') + frame(b"[" * 250)),
)
_HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):(.*)", re.DOTALL)


def check(data: bytes) -> None:
    sizes, stream = split_fields(data, 2)
    chunks = expand(divide(stream, sizes))
    stream = b"".join(chunks)
    bodies, has_failed = read([stream])
    expected_bodies, expected_failure = read_with_reference(stream)
    assert (bodies, has_failed) == (expected_bodies, expected_failure)
    assert read(chunks) == (bodies, has_failed)
    assert read(divide(b"".join(map(frame, bodies)), sizes)) == (bodies, False)
    for body in bodies:
        check_json(body)


def divide(stream: bytes, sizes: bytes) -> list[bytes]:
    """Chunks of one byte more than ``sizes``, in turns; one chunk without sizes."""
    chunks, start = [], 0
    for turn in itertools.count():
        if start >= len(stream):
            break
        end = start + sizes[turn % len(sizes)] + 1 if sizes else len(stream)
        chunks.append(stream[start:end])
        start = end
    return chunks


def expand(chunks: list[bytes]) -> list[bytes]:
    """The chunks with the long text in place of the first two LONG. Dividing that text further would take long."""
    left, expanded = 2, []
    for chunk in chunks:
        expanded.append(chunk.replace(LONG, b"x" * (framing.MAX_HEADER_BYTES // 2 - 30), left))
        left = max(0, left - chunk.count(LONG))
    return expanded


def read(chunks: list[bytes]) -> tuple[list[bytes], bool]:
    """The bodies, and whether the stream was refused."""
    reader = FrameReader(MAX_BODY_BYTES)
    bodies: list[bytes] = []
    for chunk in chunks:
        try:
            for body in reader.feed_data(chunk):
                bodies.append(body)  # noqa: PERF402  (those before an error count)
        except FramingError as error:
            check_message(str(error))
            return bodies, True
        assert len(reader._buffer) <= framing.MAX_HEADER_BYTES, "more is buffered than a header or a body"
    return bodies, False


def read_with_reference(stream: bytes) -> tuple[list[bytes], bool]:
    """What the whole stream means, read header by header."""
    bodies: list[bytes] = []
    position = 0
    while True:
        while (blank := re.compile(rb"\r?\n").match(stream, position)) is not None:
            position = blank.end()
        head = re.compile(rb"(?:[^\n]*\n)*?\r?\n").match(stream, position)
        lines = (head[0] if head else stream[position:]).split(b"\n")
        complete, rest = lines[:-1], lines[-1]
        length, size = None, 0
        for line in complete:
            size += len(line) + 1
            if size > framing.MAX_HEADER_BYTES:
                return bodies, True
            line = line.removesuffix(b"\r")
            if not line:
                break
            field = _HEADER_LINE.fullmatch(line)
            if field is None:
                return bodies, True
            if field[1].lower() == b"content-length":
                value = field[2].strip(b" \t")
                is_number = re.fullmatch(rb"\d{1,20}", value) is not None
                if not is_number or int(value) > MAX_BODY_BYTES or length not in (None, int(value)):
                    return bodies, True
                length = int(value)
        if head is None:
            name = rest.partition(b":")[0].removesuffix(b"\r")
            is_invalid = not re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*", name)
            return bodies, is_invalid or size + len(rest) > framing.MAX_HEADER_BYTES
        if length is None:
            return bodies, True
        if len(stream) < head.end() + length:
            return bodies, False
        bodies.append(stream[head.end() : head.end() + length])
        position = head.end() + length


def check_json(body: bytes) -> None:
    """Exactly the JSON values that the standard library reads, without its constants."""
    value = expected = None
    is_json = is_expected = True
    try:
        value = parse_body(body)
    except ValueError:
        is_json = False
    try:
        expected = json.loads(body.decode("utf-8"), parse_constant=_reject)
    except (ValueError, RecursionError):
        is_expected = False
    assert (is_json, repr(value)) == (is_expected, repr(expected))


def _reject(name: str) -> None:
    raise ValueError(name)
