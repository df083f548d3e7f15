"""A server over stdio whose engine answers at once, with the processor time of its event loop at the stages of a key.

Where the model would run, the loop's own thread reads 24 MB, so that the processor's caches hold as little of the
server's code and data as after a forward pass. That time is subtracted.

    python benchmarks/lib/staged_server.py RESULTS.json TYPED_FILE [--warm]
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np

import starcoder_ls
from starcoder_ls.app import Server
from starcoder_ls.generation import Capabilities, Chunk, FinishReason, Phase, Request, Status, Timings
from starcoder_ls.lsp import stdio
from starcoder_ls.lsp.protocol import LspProtocol
from starcoder_ls.lsp.stdio import PipeStream
from starcoder_ls.output_stream import OutputStream
from starcoder_ls.settings import Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
STAGES = ("read", "change", "changed", "request", "submitted", "answered", "written")
_SILENT_CHUNKS, _MAX_ANSWER_CHARS, _CONTEXT_CHARS = 8, 40, 20


class Stages:
    """The processor time of the thread of the event loop when each stage of the current key began, in microseconds."""

    def __init__(self, is_warm: bool) -> None:
        self._memory = np.ones(0 if is_warm else 6 * 1024 * 1024, np.float32)
        self._excluded_ns = 0
        self._current: dict[str, float] = {}
        self.keys: list[dict[str, float]] = []

    def mark(self, stage: str) -> None:
        self._current.setdefault(stage, (time.thread_time_ns() - self._excluded_ns) / 1000)

    def begin_key(self) -> None:
        self.keys.append(self._current)
        self._current = {}
        self.evict_caches()
        self.mark("read")

    def evict_caches(self) -> None:
        before_ns = time.thread_time_ns()
        self._memory.sum()
        self._excluded_ns += time.thread_time_ns() - before_ns


class ScriptedEngine:
    """``generation.Engine`` that knows the file which is typed and continues it to the end of the line."""

    def __init__(self, text: str, stages: Stages) -> None:
        self._text, self._stages = text, stages
        self._tokenizer = Tokenizer.from_folder(BUNDLED)
        self._status = Status(
            Phase.READY, model="bundled", context_tokens=2048, special_tokens=self._tokenizer.special_tokens,
            capabilities=Capabilities(attach=False),
        )  # fmt: skip
        self._requests: queue.SimpleQueue[tuple[Request, OutputStream]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        output, has_ended = OutputStream(), False
        self._stages.mark("submitted")
        self._stages.evict_caches()
        self._requests.put((request, output))
        while not has_ended and (chunks := await output.chunks()) is not None:
            self._stages.mark("answered")
            for chunk in chunks:
                has_ended = chunk.timings is not None
                yield chunk

    async def prefill(self, request: Request) -> None:
        pass

    def count_tokens(self, text: str) -> int:
        return self._tokenizer.count_tokens(text)

    def status(self) -> Status:
        return self._status

    def subscribe(self, _listener: Callable[[Status], None]) -> Callable[[], None]:
        return lambda: None

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _run(self) -> None:
        while True:
            request, output = self._requests.get()
            before = "".join(str(request.parts[index]) for index in request.prefix_parts) + request.forced_prefix
            known = before[-_CONTEXT_CHARS:]
            found = self._text.find(known)
            rest = self._text[found + len(known) :] if found >= 0 else "value = 1\n"
            answer = rest.split("\n")[0][:_MAX_ANSWER_CHARS] or "\n"
            for _ in range(_SILENT_CHUNKS):
                output.put((Chunk("", (5,), -0.1),))
            kept = request.stop(answer) if request.stop else None
            timings = Timings(prompt_tokens=500)
            output.put((Chunk(answer[:kept], (5,), -0.1, 0, FinishReason.STOP_RULE, timings),))
            output.put(None)


def observe(stages: Stages) -> None:
    """Mark the stages in which the transport and the protocol are."""
    read, write, receive = PipeStream.read, PipeStream.write, LspProtocol.receive

    async def marked_read(stream: PipeStream) -> bytes:
        chunk = await read(stream)
        if b"textDocument/didChange" in chunk:
            stages.begin_key()
        return chunk

    def marked_write(stream: PipeStream, data: bytes) -> None:
        write(stream, data)
        if b"insertText" in data or b'"result":[]' in data:
            stages.mark("written")

    def marked_receive(protocol: LspProtocol[Any], message: Any, size_bytes: int = 0) -> bool:
        method = message.get("method")
        if method in ("textDocument/didChange", "textDocument/inlineCompletion"):
            stages.mark("change" if method == "textDocument/didChange" else "request")
        has_task = receive(protocol, message, size_bytes)
        if method == "textDocument/didChange":
            stages.mark("changed")
        return has_task

    PipeStream.read, PipeStream.write = marked_read, marked_write  # type: ignore[method-assign]
    LspProtocol.receive = marked_receive  # type: ignore[method-assign]


def main() -> None:
    results, typed_file = sys.argv[1:3]
    stages = Stages(is_warm="--warm" in sys.argv[3:])
    observe(stages)
    text = Path(typed_file).read_text(encoding="utf-8")
    server = Server(lambda _settings: ScriptedEngine(text, stages), Settings())  # type: ignore[arg-type,return-value]
    original_close = server.close

    def close() -> None:
        Path(results).write_text(json.dumps(stages.keys), encoding="utf-8")
        original_close()

    server.close = close  # type: ignore[method-assign]
    stdio.serve(server)


if __name__ == "__main__":
    main()
