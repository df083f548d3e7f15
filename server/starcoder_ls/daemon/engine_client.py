"""The engine of a resident process that is warm, for a command that would load the model for one answer.

Decides when it will do: the same model, and every adapter that is wanted. Refuses to know what is asked of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starcoder_ls.daemon import connect_or_spawn, launch_options, runtime_dir, wire
from starcoder_ls.errors import DaemonError, EngineClosed, EngineError
from starcoder_ls.generation import AdapterStatus, Chunk, FinishReason, Phase, Request, Status
from starcoder_ls.lsp.framing import FrameReader
from starcoder_ls.settings import Adapter, Settings

_ANSWER_S = 5.0
_GONE = "The resident process has ended. Run the command again."


def warm(chosen: Settings, path: Path | None = None) -> EngineClient | None:
    """The process at ``path``, or where one for these settings would be; None where there is none that will do."""
    with contextlib.suppress(DaemonError, OSError, EngineError):
        if not chosen.sharing.enabled:
            return None
        engine = EngineClient(path or runtime_dir.socket_path(runtime_dir.key(runtime_dir.RESIDENT, _model(chosen))))
        status = engine.status()
        held = {adapter.name: adapter.source for adapter in status.adapters}
        is_warm = status.phase in (Phase.READY, Phase.WORKING)
        if is_warm and all(held.get(name) == one.source for name, one in chosen.resident_adapters().items()):
            return engine
    return None


def _model(chosen: Settings) -> dict[str, Any]:
    return launch_options.unusual(chosen.model.model_dump(mode="json", exclude_defaults=True))


class EngineClient:
    """``generation.Engine`` over the socket at ``path``; its status is that of the first moment.

    Raises DaemonError, EngineError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._status = wire.decode_status(self._asked(ask="engine")["status"])

    def status(self) -> Status:
        return self._status

    def count_tokens(self, text: str) -> int:
        return int(self._asked(ask="count", text=text)["tokens"])

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """The stop rule is asked here, after each chunk; once it has ended every candidate, so does the process."""
        reader, writer = await asyncio.open_unix_connection(sock=self._connected())
        texts: list[str] = [""] * request.candidates
        ends: list[FinishReason | None] = [None] * request.candidates
        has_enough = False
        try:
            writer.write(connect_or_spawn.framed({"ask": "generate", "request": wire.encode_request(request)}))
            async for said in _messages(reader):
                chunk = wire.decode_chunk(said["chunk"])
                shown = _shown(request, chunk, texts, ends)
                if all(ends) and chunk.timings is None and not has_enough:
                    has_enough = True
                    writer.write(connect_or_spawn.framed({"enough": True}))
                if shown is not None:
                    yield shown
                if chunk.timings is not None:
                    return
            raise EngineClosed(_GONE)
        finally:
            writer.close()

    async def prefill(self, request: Request) -> None:
        """Nothing: a command asks once."""

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        raise EngineError(f"{name} ({adapter.path}) cannot be attached to another process's model.")

    async def detach(self, name: str) -> None:
        raise EngineError(f"{name} cannot be detached from another process's model.")

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        del listener
        return lambda: None

    def start(self) -> None:
        """It runs."""

    def close(self) -> None:
        """It goes on for others."""

    def _connected(self) -> socket.socket:
        if (connection := runtime_dir.connected(self._path)) is None:
            raise EngineClosed(_GONE)
        return connection

    def _asked(self, **question: Any) -> dict[str, Any]:
        connection = self._connected()
        answer = connect_or_spawn.greeted(connection, question, _ANSWER_S)
        connection.close()
        if answer is None:
            raise EngineClosed(_GONE)
        if "error" in answer:
            raise wire.decode_error(answer["error"])
        return answer


def _shown(request: Request, chunk: Chunk, texts: list[str], ends: list[FinishReason | None]) -> Chunk | None:
    """What the asker sees of ``chunk``: with a stop rule the text comes whole, in the candidate's last chunk."""
    at = chunk.candidate
    if request.stop is None:
        return chunk
    if (end := ends[at]) is not None:  # what comes behind was not wanted, but for the timings
        return Chunk("", candidate=at, finish_reason=end, timings=chunk.timings) if chunk.timings else None
    texts[at] += chunk.text
    kept = request.stop(texts[at]) if chunk.token_ids else None
    if kept is not None:
        ends[at] = FinishReason.STOP_RULE
        return dataclasses.replace(chunk, text=texts[at][: max(kept, 0)], finish_reason=FinishReason.STOP_RULE)
    ends[at] = chunk.finish_reason
    return dataclasses.replace(chunk, text=texts[at] if chunk.finish_reason else "")


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Raises what the process says went wrong."""
    frames = FrameReader()
    while data := await reader.read(65536):
        for body in frames.feed(data):
            said = json.loads(body)
            if "error" in said:
                raise wire.decode_error(said["error"])
            yield said
