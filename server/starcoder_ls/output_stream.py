"""Carries the output of a request from the thread of an engine to the event loop of its caller."""

from __future__ import annotations

from starcoder_ls.generation import Chunk
from starcoder_ls.loop_queue import LoopQueue

MAX_BUFFERED_CHUNKS = 16
"""Chunks without text that wait for one with text. Waking the event loop costs the engine's thread 0.5 ms, because it
gives up the interpreter lock for it: half of the time of a token of the bundled model."""

Output = tuple[Chunk, ...] | BaseException | None
"""Chunks; or the error that ended the request; or None, its regular end."""


class OutputStream:
    """Carries the output of one request from the engine's thread to the task that waits for it."""

    def __init__(self) -> None:
        self._arrived: LoopQueue[Output] = LoopQueue()
        self._buffered: tuple[Chunk, ...] = ()
        self._has_ended = False

    def put(self, output: Output) -> None:
        """Called from one thread at a time. Output for an event loop that is closed is dropped.

        None is dropped after the request's last chunk, which says the same: the loop is not woken up twice.
        """
        if isinstance(output, tuple):
            self._buffered += output
            is_silent = not any(chunk.text or chunk.finish_reason is not None for chunk in output)
            if is_silent and len(self._buffered) < MAX_BUFFERED_CHUNKS:
                return
            output, self._buffered = self._buffered, ()
            self._has_ended = output[-1].timings is not None
        elif self._buffered:
            self._arrived.put_from_thread(self._buffered)
            self._buffered = ()
        elif output is None and self._has_ended:
            return
        self._arrived.put_from_thread(output)

    async def chunks(self) -> tuple[Chunk, ...] | None:
        """The next chunks; None at the end, which the chunk with ``timings`` is too. Raises the error that ended the
        request."""
        output = await self._arrived.get()
        if isinstance(output, BaseException):
            raise output
        return output
