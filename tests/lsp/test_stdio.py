from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator

import pytest

from harness import async_test, wait_until
from starcoder_ls.lsp import connection, stdio
from starcoder_ls.lsp.stdio import PipeStream


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int, int]]:
    """(their write end, our read end), (our write end, their read end)."""
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    yield theirs_out, ours_in, ours_out, theirs_in
    for descriptor in (theirs_out, ours_in, ours_out, theirs_in):
        with contextlib.suppress(OSError):  # a test closed it
            os.close(descriptor)


@async_test
async def test_bytes_keep_their_order_and_the_end_of_input_is_reported(pipes: tuple[int, int, int, int]) -> None:
    theirs_out, ours_in, ours_out, theirs_in = pipes
    ended = threading.Event()
    stream = PipeStream(ours_in, ours_out, on_eof=ended.set)
    os.write(theirs_out, b"question")
    assert await stream.read() == b"question"
    for number in range(100):
        stream.write(b"%02d" % number)
    await stream.close()
    assert os.read(theirs_in, 1000) == b"".join(b"%02d" % number for number in range(100))
    os.close(theirs_out)
    await wait_until(ended.is_set)
    assert await stream.read() == b""


@async_test
async def test_abort_ends_a_pending_read(pipes: tuple[int, int, int, int]) -> None:
    _, ours_in, ours_out, _ = pipes
    stream = PipeStream(ours_in, ours_out)
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    stream.abort()
    assert await reading == b""
    os.close(pipes[0])


@async_test
async def test_writes_without_a_reader_never_block_and_abort_at_the_limit(
    pipes: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs_out, ours_in, ours_out, theirs_in = pipes
    monkeypatch.setattr(stdio, "MAX_SEND_QUEUE_BYTES", 1_000_000)
    stream = PipeStream(ours_in, ours_out)
    for _ in range(30):
        stream.write(b"x" * 50_000)
    assert await stream.read() == b""
    os.close(theirs_out)
    os.close(theirs_in)
    await stream.close()  # its thread must not write into the next test's pipe


@async_test
async def test_small_response_is_in_the_pipe_when_write_returns(pipes: tuple[int, int, int, int]) -> None:
    theirs_out, ours_in, ours_out, theirs_in = pipes
    stream = PipeStream(ours_in, ours_out)
    os.set_blocking(theirs_in, False)
    os.write(theirs_out, b"question")
    assert await stream.read() == b"question"
    stream.write(b"answer")
    assert os.read(theirs_in, 100) == b"answer"
    os.close(theirs_out)
    await stream.close()


@pytest.mark.parametrize("sizes", [(1, 9_000, 2), (70_000, 1, 300), (512, 512, 512, 80_000, 5)])
@async_test
async def test_short_and_long_messages_keep_their_order(
    pipes: tuple[int, int, int, int], sizes: tuple[int, ...]
) -> None:
    theirs_out, ours_in, ours_out, theirs_in = pipes
    stream = PipeStream(ours_in, ours_out)
    written = [bytes([65 + number]) * size for number, size in enumerate(sizes * 20)]
    for message in written:
        os.write(theirs_out, b"question")
        assert await stream.read() == b"question"
        stream.write(message)
    came = b""
    while len(came) < sum(map(len, written)):
        came += await asyncio.to_thread(os.read, theirs_in, 3_000)
    assert came == b"".join(written)
    os.close(theirs_out)
    await stream.close()


@async_test
async def test_client_that_sends_but_does_not_read_never_blocks_the_loop(
    pipes: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs_out, ours_in, ours_out, theirs_in = pipes
    monkeypatch.setattr(stdio, "MAX_SEND_QUEUE_BYTES", 1_000_000)
    stream = PipeStream(ours_in, ours_out)
    answers = 0
    while not stream._is_closed:
        os.write(theirs_out, b"question")
        assert await stream.read() in (b"question", b"")
        stream.write(b"x" * 4_000)
        answers += 1
    assert answers > 200
    os.close(theirs_out)
    os.close(theirs_in)
    await stream.close()  # its thread must not write into the next test's pipe


@async_test
async def test_write_to_a_closed_pipe_ends_the_stream(pipes: tuple[int, int, int, int]) -> None:
    theirs_out, ours_in, ours_out, theirs_in = pipes
    stream = PipeStream(ours_in, ours_out)
    os.write(theirs_out, b"question")
    assert await stream.read() == b"question"
    os.close(theirs_in)
    stream.write(b"answer")
    assert await stream.read() == b""
    os.close(theirs_out)


@async_test
async def test_input_beyond_the_queue_limit_waits_in_the_pipe(
    pipes: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs_out, ours_in, ours_out, _ = pipes
    monkeypatch.setattr(stdio, "_MAX_QUEUED_CHUNKS", 4)
    stream = PipeStream(ours_in, ours_out)
    written = threading.Event()

    def flood() -> None:
        for _ in range(100):
            os.write(theirs_out, b"x" * stdio._CHUNK_BYTES)
        written.set()
        os.close(theirs_out)

    threading.Thread(target=flood, daemon=True).start()
    await wait_until(lambda: len(stream._incoming) == 4)
    assert not written.is_set()
    total = 0
    while chunk := await stream.read():
        total += len(chunk)
    assert total == 100 * stdio._CHUNK_BYTES


def test_send_queue_limit_is_the_connections() -> None:
    assert stdio.MAX_SEND_QUEUE_BYTES == connection.MAX_SEND_QUEUE_BYTES
