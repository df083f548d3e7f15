"""The body of a completion whose prompt is token ids: these fields of vLLM's completions API and no others.

Prompts are ids so that a document's text can never become a control token of the model.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_MAX_ID = 1 << 20
_MAX_FORCED_CHARS = 1000
_ANYTHING = r"[\s\S]*"
_LITERAL = re.compile(r"(?:[^\\.^$*+?{}\[\]|()\n]|\\[\\.^$*+?{}\[\]|()nrt])*")
"""Literal text: other expressions could take a replica's processor for minutes."""
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}

TokenId = Annotated[int, Field(ge=0, lt=_MAX_ID, strict=True)]


class StructuredOutputs(BaseModel):
    """``regex`` is a literal text that is the whole answer, or its beginning if ``[\\s\\S]*`` follows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    regex: Annotated[str, Field(max_length=_MAX_FORCED_CHARS)]

    @field_validator("regex")
    @classmethod
    def _is_literal(cls, regex: str) -> str:
        if not _LITERAL.fullmatch(regex.removesuffix(_ANYTHING)):
            raise ValueError(rf"only a literal text is allowed, which {_ANYTHING} may follow")
        return regex

    @property
    def text(self) -> str:
        """The literal text."""
        literal = self.regex.removesuffix(_ANYTHING)
        return re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), literal)

    @property
    def is_whole_answer(self) -> bool:
        return not self.regex.endswith(_ANYTHING)


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    include_usage: bool = False


class TokenCompletionsBody(BaseModel):
    """What a client may send. A gateway in front of replicas passes on these fields only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(max_length=200)]
    prompt: Annotated[list[TokenId], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    n: Annotated[int, Field(ge=1)] = 1
    logprobs: Literal[0, 1] | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=64)] = []
    return_token_ids: bool = True
    skip_special_tokens: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None


class ReplicaStreamOptions(StreamOptions):
    continuous_usage_stats: bool = False


class ReplicaCompletionsBody(TokenCompletionsBody):
    """What a replica receives: a gateway adds the user's cache salt and the counts for its metrics."""

    n: Annotated[int, Field(ge=1, le=16)] = 1
    cache_salt: Annotated[str, Field(max_length=200)] = ""
    stream_options: ReplicaStreamOptions | None = None


def has_token_ids(data: bytes) -> bool:
    """Whether the prompt of a body is token ids. A body that is no JSON has none."""
    try:
        prompt = json.loads(data)["prompt"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], int)
