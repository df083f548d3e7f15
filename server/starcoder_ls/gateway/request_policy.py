"""What a client may send to a replica: the fields of ``TokenCompletionsBody`` within these limits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from starcoder_ls.http_api.http_errors import HttpError, http_error_of
from starcoder_ls.http_api.token_bodies import TokenCompletionsBody


@dataclass(frozen=True, slots=True)
class Limits:
    max_prompt_tokens: int
    max_new_tokens: int
    max_candidates: int


def checked_body(data: bytes, limits: Limits, cache_salt: str) -> tuple[bytes, TokenCompletionsBody]:
    """The body for a replica, with the user's cache salt, and its content.

    Raises HttpError (400) for a field that is not allowed and for a value beyond the limits.
    """
    try:
        body = TokenCompletionsBody.model_validate_json(data)
    except ValidationError as error:
        raise http_error_of(error) from error
    for name, value, limit in (
        ("prompt", len(body.prompt), limits.max_prompt_tokens),
        ("max_tokens", body.max_tokens, limits.max_new_tokens),
        ("n", body.n, limits.max_candidates),
    ):
        if value > limit:
            raise HttpError(400, f"`{name}`: {value:,} is over the limit of this site, {limit:,}.")
    fields: dict[str, Any] = body.model_dump(mode="json", exclude_unset=True) | {"cache_salt": cache_salt}
    if body.stream:  # the metrics need the reused tokens of answers that clients leave, as they mostly do
        fields["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    return json.dumps(fields, separators=(",", ":")).encode(), body
