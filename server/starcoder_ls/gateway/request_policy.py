"""What a client may send to a replica: these fields of vLLM's completions, within these limits, and nothing else.

Prompts are token ids only, so that a document's text can never become a control token of the model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from starcoder_ls.http_api.http_errors import HttpError, http_error_of

_MAX_ID = 1 << 20
_MAX_FORCED_CHARS = 1000
_FORCED_PREFIX = re.compile(r"(?:[^\\.^$*+?{}\[\]|()\n]|\\[\\.^$*+?{}\[\]|()nrt])*\[\\s\\S\]\*")
"""Literal text and then anything: other expressions could take a replica's processor for minutes."""

_TokenId = Annotated[int, Field(ge=0, lt=_MAX_ID, strict=True)]


class StructuredOutputs(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    regex: Annotated[str, Field(max_length=_MAX_FORCED_CHARS)]

    @field_validator("regex")
    @classmethod
    def _forces_only_the_beginning(cls, regex: str) -> str:
        if not _FORCED_PREFIX.fullmatch(regex):
            raise ValueError(r"only a literal text followed by [\s\S]* is allowed")
        return regex


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    include_usage: bool = False


class CompletionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(max_length=200)]
    prompt: Annotated[list[_TokenId], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    n: Annotated[int, Field(ge=1)] = 1
    logprobs: Literal[0, 1] | None = None
    stop_token_ids: Annotated[list[_TokenId], Field(max_length=64)] = []
    return_token_ids: bool = True
    skip_special_tokens: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    max_prompt_tokens: int
    max_new_tokens: int
    max_candidates: int


def checked_body(data: bytes, limits: Limits, cache_salt: str) -> tuple[bytes, CompletionBody]:
    """The body for a replica, with the user's cache salt, and its content.

    Raises HttpError (400) for a field that is not allowed and for a value beyond the limits.
    """
    try:
        body = CompletionBody.model_validate_json(data)
    except ValidationError as error:
        raise http_error_of(error) from error
    for name, value, limit in (
        ("prompt", len(body.prompt), limits.max_prompt_tokens),
        ("max_tokens", body.max_tokens, limits.max_new_tokens),
        ("n", body.n, limits.max_candidates),
    ):
        if value > limit:
            raise HttpError(400, f"{name}: {value:,} is over the limit of this site, {limit:,}")
    fields: dict[str, Any] = body.model_dump(mode="json", exclude_unset=True) | {"cache_salt": cache_salt}
    if body.stream:  # the metrics need the reused tokens of answers that clients leave, as they mostly do
        fields["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    return json.dumps(fields, separators=(",", ":")).encode(), body
