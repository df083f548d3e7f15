"""Records the requests that a remote engine sends, and what comes back for each."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from starcoder_ls.remote.dialects.dialect import Call
from starcoder_ls.remote.remote_engine import RemoteEngine


@dataclass
class CallRecord:
    """One request as the client saw it: the tokens of its prompt, and those that arrived."""

    prompt_tokens: int
    tokens: int = 0


class ObservedConnection:
    """Passes on the completions of ``engine``, which must be ready."""

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
                record.tokens += _count_tokens(event)
                yield event
        finally:
            await events.aclose()


def _count_tokens(event: Mapping[str, Any]) -> int:
    """llama.cpp sends an event for each token, and a last one that repeats them."""
    if "choices" in event:
        return sum(len(choice.get("token_ids") or ()) for choice in event["choices"])
    return not event.get("stop")
