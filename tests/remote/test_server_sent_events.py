from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.errors import EngineUnreachable
from starcoder_ls.http_api.server_sent_events import encode_event
from starcoder_ls.remote.server_sent_events import MAX_LINE_BYTES, MAX_RESPONSE_BYTES, decode_events


def events_of(pieces: Iterable[bytes]) -> list[dict[str, Any]]:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def collect() -> list[dict[str, Any]]:
        return [event async for event in decode_events(stream())]

    return asyncio.run(collect())


@settings(max_examples=40)
@given(
    events=st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=6),
    cuts=st.lists(st.integers(0, 400), max_size=10),
)
def test_events_are_the_same_however_the_bytes_are_divided(events: list[dict[str, str]], cuts: list[int]) -> None:
    data = b"".join(map(encode_event, events)) + b"data: [DONE]\n\n"
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert events_of(data[start:end] for start, end in pairwise(edges)) == events


def test_comments_other_fields_and_events_after_the_end_are_ignored() -> None:
    data = b': ping\nevent: x\nid: 3\ndata: {"a": 1}\r\n\r\ndata: [DONE]\n\ndata: {"b": 2}\n\n'
    assert events_of([data]) == [{"a": 1}]


@pytest.mark.parametrize("line", [b"data: {\n", b"data: [1]\n", b"data: \xff\n", b"data: " + b"[" * 100_000 + b"\n"])
def test_line_that_is_no_json_object_is_an_error(line: bytes) -> None:
    with pytest.raises(EngineUnreachable, match="answer"):
        events_of([line])


def test_endless_line_and_endless_response_are_errors() -> None:
    with pytest.raises(EngineUnreachable, match="longer"):
        events_of([b"data: " + b"x" * MAX_LINE_BYTES])
    comment = b":" + b"x" * 65_535 + b"\n"
    with pytest.raises(EngineUnreachable, match="longer"):
        events_of(comment for _ in range(MAX_RESPONSE_BYTES // len(comment) + 2))
