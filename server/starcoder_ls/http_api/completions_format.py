"""Answers as OpenAI's completions API describes them (platform.openai.com/docs/api-reference/completions)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starcoder_ls.generation import FinishReason, Status, Timings
from starcoder_ls.http_api.answers import Answer, AnswerStream
from starcoder_ls.http_api.server_sent_events import DONE

_OWNER = "starcoder-ls"


@dataclass(frozen=True, slots=True)
class Head:
    """What all objects of one answer have in common."""

    id: str
    model: str
    created_s: int

    @classmethod
    def new(cls, model: str, created_s: int) -> Head:
        return cls(f"cmpl-{secrets.token_hex(12)}", model, created_s)

    def object(self, choices: Sequence[Mapping[str, Any]], usage: Mapping[str, int] | None = None) -> dict[str, Any]:
        fields = {"id": self.id, "object": "text_completion", "created": self.created_s, "model": self.model}
        return {**fields, "choices": list(choices), **({"usage": usage} if usage is not None else {})}


def models(status: Status, created_s: int) -> dict[str, Any]:
    """The loaded model and its resident adapters, each of which a request can name as ``model``. ``parent`` and
    ``max_model_len`` are those of vLLM's server, which remote engines read; ``created_s`` is in seconds since 1970."""
    adapters = [_model(adapter.name, created_s, parent=status.model) for adapter in status.adapters]
    base = _model(status.model, created_s, parent=None, max_model_len=status.context_tokens)
    return {"object": "list", "data": [base, *adapters]}


def _model(name: str, created_s: int, **fields: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created_s, "owned_by": _OWNER, **fields}


def response(head: Head, answers: Sequence[Answer], timings: Timings) -> dict[str, Any]:
    choices = [_choice(index, answer.text, answer.finish_reason) for index, answer in enumerate(answers)]
    return head.object(choices, usage(timings, sum(answer.tokens for answer in answers)))


async def events(
    head: Head, stream: AnswerStream, includes_usage: bool = False
) -> AsyncIterator[Mapping[str, Any] | str]:
    """Raises what ``AnswerStream.pieces`` raises."""
    tokens = 0
    async for piece in stream.pieces():
        tokens += piece.tokens
        if piece.text or piece.finish_reason is not None:
            yield head.object([_choice(piece.candidate, piece.text, piece.finish_reason)])
    if includes_usage:
        yield head.object([], usage(stream.timings, tokens))
    yield DONE


def _choice(index: int, text: str, reason: FinishReason | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason(reason)}


def finish_reason(reason: FinishReason | None) -> str | None:
    if reason is None:
        return None
    return "stop" if reason in (FinishReason.END_OF_TEXT, FinishReason.STOP_RULE) else "length"


def usage(timings: Timings, tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": timings.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": timings.prompt_tokens + tokens,
    }
