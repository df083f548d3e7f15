from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.lsp import framing
from starcoder_ls.lsp.framing import FrameReader, FramingError, frame

BODIES = st.lists(st.binary(max_size=80), max_size=8)
HEADERS = st.sampled_from(
    [
        b"Content-Length: %d\r\n\r\n",
        b"content-length:%d\n\n",
        b"CONTENT-LENGTH:  %d \r\n\n",
        b"\r\n\nContent-Length: %d\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n",
        b"X-Other: a: b\r\nContent-Length: %d\r\ncontent-length: %d\r\n\r\n",
    ]
)


def read_bodies(reader: FrameReader, *chunks: bytes) -> list[bytes]:
    return [body for chunk in chunks for body in reader.feed_data(chunk)]


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=80)), max_size=8), st.data())
def test_frames_do_not_depend_on_chunk_boundaries(frames: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    stream = b"".join(header.replace(b"%d", b"%d" % len(body)) + body for header, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read_bodies(FrameReader(), *chunks) == [body for _, body in frames]
    assert read_bodies(FrameReader(), *(stream[n : n + 1] for n in range(len(stream)))) == [body for _, body in frames]


@given(st.lists(st.binary(max_size=3000), max_size=40))
def test_garbage_is_rejected_or_buffered_within_the_limit(chunks: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for chunk in chunks:
            for _ in reader.feed_data(chunk):
                pass
            is_waiting_for_body = reader._is_in_body
            assert is_waiting_for_body or len(reader._buffer) <= framing.MAX_HEADER_BYTES
    except FramingError:
        pass


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: five\r\n\r\n",
        b"Content-Length: +5\r\n\r\n",
        b"Content-Length: 1e3\r\n\r\n",
        b"Content-Length: \xd9\xa5\r\n\r\n",
        b"Content-Length:\r\n\r\n",
        b"Content-Length: 100000000000\r\n\r\n",
        b"Content-Length: " + b"9" * 200 + b"\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"Content-Type: text/plain\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://localhost/ HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b'{"jsonrpc": "2.0"}',
        b"X: " + b"a" * framing.MAX_HEADER_BYTES,
        b"X: a\r\n" * framing.MAX_HEADER_BYTES,
    ],
    ids=lambda header: repr(header[:30]),
)
def test_invalid_header_ends_the_stream_after_earlier_frames(header: bytes) -> None:
    reader = FrameReader()
    bodies = []
    chunk = frame(b"{}") + frame(b"[]") + header
    with pytest.raises(FramingError) as caught:
        bodies.extend(reader.feed_data(chunk))
    assert bodies == [b"{}", b"[]"]
    assert "jsonrpc" not in str(caught.value)


def test_rest_of_a_body_after_a_short_length_is_no_header() -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "x"}).encode()
    with pytest.raises(FramingError):
        read_bodies(FrameReader(), b"Content-Length: 10\r\n\r\n" + body + frame(body))


def test_body_at_the_size_limit_is_accepted() -> None:
    assert read_bodies(FrameReader(100), frame(b"x" * 100)) == [b"x" * 100]
    with pytest.raises(FramingError):
        read_bodies(FrameReader(100), frame(b"x" * 101))
