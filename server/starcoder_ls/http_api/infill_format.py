"""Answers of ``/infill`` as llama.cpp's server gives them (tools/server/README.md of ggml-org/llama.cpp)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from starcoder_ls.generation import FinishReason, Timings
from starcoder_ls.http_api.answers import Answer, AnswerStream

_STOP_TYPES = {FinishReason.END_OF_TEXT: "eos", FinishReason.STOP_RULE: "word"}


_NO_TIMINGS = Timings()


def response(
    text: str, model: str, fields: Sequence[str] = (), answer: Answer | None = None, timings: Timings = _NO_TIMINGS
) -> dict[str, Any]:
    """The answer with ``fields`` only, if any are given: paths such as ``timings/prompt_ms``, kept as keys."""
    reason = FinishReason.END_OF_TEXT if answer is None else answer.finish_reason
    tokens = 0 if answer is None else answer.tokens
    full = {
        "content": text,
        "stop": True,
        "model": model,
        "tokens_predicted": tokens,
        "tokens_evaluated": timings.prompt_tokens,
        "tokens_cached": timings.reused_tokens,
        "truncated": False,
        "stop_type": _STOP_TYPES.get(reason, "limit"),
        "timings": _timings(timings, tokens),
    }
    return _select(full, fields) if fields else full


async def events(stream: AnswerStream, model: str, fields: Sequence[str]) -> AsyncIterator[Mapping[str, Any]]:
    """Raises what ``AnswerStream.pieces`` raises."""
    total = Answer()
    async for piece in stream.pieces():
        total.tokens += piece.tokens
        total.finish_reason = piece.finish_reason or total.finish_reason
        if piece.text:
            yield {"content": piece.text, "stop": False}
    yield response("", model, fields, total, stream.timings)


def _timings(timings: Timings, tokens: int) -> dict[str, float]:
    read = timings.prompt_tokens - timings.reused_tokens
    return {
        "prompt_n": read,
        "prompt_ms": timings.prefill_ms,
        "prompt_per_token_ms": timings.prefill_ms / max(read, 1),
        "prompt_per_second": _per_second(read, timings.prefill_ms),
        "predicted_n": tokens,
        "predicted_ms": timings.decode_ms,
        "predicted_per_token_ms": timings.decode_ms / max(tokens, 1),
        "predicted_per_second": _per_second(tokens, timings.decode_ms),
    }


def _per_second(count: int, duration_ms: float) -> float:
    return 1000 * count / duration_ms if duration_ms else 0.0


def _select(full: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    selected: dict[str, Any] = {}
    for path in fields:
        value: Any = full
        for key in path.split("/"):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            selected[path] = value
    return selected
