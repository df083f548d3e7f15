"""The client half of the engine RPC: ``generation.Engine`` on top of the model that a daemon has loaded.

Headless commands use it, so that they need not load the model for a single answer.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starcoder_ls.daemon import connect_or_spawn, launch_options, runtime_dir, wire
from starcoder_ls.daemon.message import encode_frame
from starcoder_ls.errors import EngineClosed, EngineError
from starcoder_ls.generation import AdapterStatus, Chunk, FinishReason, Request, Status
from starcoder_ls.lsp.framing import FrameReader
from starcoder_ls.settings import Adapter, Settings

_ANSWER_TIMEOUT_S = 5.0
_CLOSED = "The daemon has exited. Run the command again."


def daemon_socket_path(settings: Settings) -> Path:
    """The socket of the daemon that windows with these settings use. Raises DaemonError."""
    model = launch_options.without_defaults(settings.model.model_dump(mode="json", exclude_defaults=True))
    engine = launch_options.engine_settings(model, settings.remote.model_dump(mode="json"))
    return runtime_dir.socket_path(runtime_dir.daemon_key(runtime_dir.DAEMON_COMMAND, engine))


class EngineClient:
    """The engine of the daemon at ``path``. Its status is read once, by the constructor.

    The constructor raises DaemonError or EngineError if the daemon does not run or its model is not loaded.
    Each query uses a connection of its own. ``start`` and ``close`` do nothing: the daemon owns the model.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._status = wire.decode_status(self._query(query="engine")["status"])

    def status(self) -> Status:
        return self._status

    def count_tokens(self, text: str) -> int:
        return int(self._query(encode_frame({"text": text}), query="count")["tokens"])

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """As ``Engine.stream``. The stop rule is evaluated in this process, after each chunk. When it has ended all
        candidates, the daemon receives a stop request and answers with the timings.

        Raises EngineClosed if the daemon ends.
        """
        reader, writer = await asyncio.open_unix_connection(sock=self._connect())
        texts: list[str] = [""] * request.candidates
        finish_reasons: list[FinishReason | None] = [None] * request.candidates
        is_stop_sent = False
        try:
            writer.write(encode_frame({"query": "generate"}) + encode_frame({"request": wire.encode_request(request)}))
            async for answer in _answers(reader):
                received = wire.decode_chunk(answer["chunk"])
                chunk = _apply_stop_rule(request, received, texts, finish_reasons)
                if all(finish_reasons) and received.timings is None and not is_stop_sent:
                    is_stop_sent = True
                    writer.write(encode_frame({"stop": True}))
                if chunk is not None:
                    yield chunk
                if received.timings is not None:
                    return
            raise EngineClosed(_CLOSED)
        finally:
            writer.close()

    async def prefill(self, request: Request) -> None:
        """Does nothing: a command sends a single request."""

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        """Raises EngineError: the daemon's windows determine its adapters."""
        raise EngineError(f"The adapter {name} ({adapter.path}) cannot be loaded into the daemon from another process.")

    async def detach(self, name: str) -> None:
        """Raises EngineError, as ``attach``."""
        raise EngineError(f"The adapter {name} cannot be unloaded from the daemon by another process.")

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Does nothing: the status does not change."""
        del listener
        return lambda: None

    def start(self) -> None:
        """Does nothing: the model is loaded."""

    def close(self) -> None:
        """Does nothing: the daemon serves other clients."""

    def _connect(self) -> socket.socket:
        if (connection := runtime_dir.connect(self._path)) is None:
            raise EngineClosed(_CLOSED)
        return connection

    def _query(self, more: bytes = b"", **query: Any) -> dict[str, Any]:
        """The answer to ``query``, which ``more`` follows."""
        connection = self._connect()
        answer = connect_or_spawn.exchange(connection, query, _ANSWER_TIMEOUT_S, more=more)
        connection.close()
        if answer is None:
            raise EngineClosed(_CLOSED)
        if "error" in answer:
            raise wire.decode_error(answer["error"])
        return answer


def _apply_stop_rule(
    request: Request, received: Chunk, texts: list[str], finish_reasons: list[FinishReason | None]
) -> Chunk | None:
    """The chunk to yield for a received one, or None. Updates the text and the finish reason of its candidate.

    With a stop rule, the last chunk of a candidate holds all of its text.
    """
    index = received.candidate
    if request.stop is None:
        return received
    if (finish_reason := finish_reasons[index]) is not None:  # already ended here: only the timings are of interest
        if received.timings is None:
            return None
        return Chunk("", candidate=index, finish_reason=finish_reason, timings=received.timings)
    texts[index] += received.text
    kept_chars = request.stop(texts[index]) if received.token_ids else None
    if kept_chars is not None:
        finish_reasons[index] = FinishReason.STOP_RULE
        text = texts[index][: max(kept_chars, 0)]
        return dataclasses.replace(received, text=text, finish_reason=FinishReason.STOP_RULE)
    finish_reasons[index] = received.finish_reason
    return dataclasses.replace(received, text=texts[index] if received.finish_reason else "")


async def _answers(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """The messages of the daemon. Raises the error that it sends."""
    frames = FrameReader()
    while data := await reader.read(65536):
        for body in frames.feed_data(data):
            answer = json.loads(body)
            if "error" in answer:
                raise wire.decode_error(answer["error"])
            yield answer
