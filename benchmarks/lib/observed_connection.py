"""Records the requests that a remote engine sends, and what comes back for each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from starcoder_ls.remote.dialects.dialect import Call
from starcoder_ls.remote.remote_engine import RemoteEngine


@dataclass
class CallRecord:
    """One request as the client saw it. ``server_ms``: the time that the server says it took, once it is complete."""

    prompt_tokens: int
    tokens: int = 0
    server_ms: float = 0.0


class ObservedConnection:
    """Passes on the completions of ``engine``, which must be ready and use llama.cpp's server."""

    def __init__(self, engine: RemoteEngine) -> None:
        assert engine._connection is not None
        self.records: list[CallRecord] = []
        self._stream = engine._connection.stream
        engine._connection.stream = self.stream  # type: ignore[method-assign]

    async def stream(self, call: Call, headers: Mapping[str, str]) -> AsyncGenerator[dict[str, Any]]:
        record = CallRecord(len(call.body["prompt"]))
        self.records.append(record)
        events = self._stream(call, headers)
        try:
            async for event in events:
                timings = event.get("timings") or {}
                record.tokens += not event.get("stop")
                record.server_ms = timings.get("prompt_ms", 0.0) + timings.get("predicted_ms", 0.0)
                yield event
        finally:
            await events.aclose()
