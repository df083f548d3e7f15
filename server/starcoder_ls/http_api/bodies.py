"""The bodies of requests, as OpenAI's completions API and llama.cpp's server define them.

Fields that would change the answer and are not supported are refused. Other unknown fields are ignored, because clients
send many (``user``, ``cache_prompt``, names of samplers).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

MAX_NEW_TOKENS = 4096
MAX_CANDIDATES = 8
MAX_STOPS = 32
MAX_EXTRA = 64

_Stops = Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=MAX_STOPS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    stop: _Stops = ()
    stream: bool = False
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """None also for a negative one, which is llama.cpp's for any seed."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, body: Any) -> Any:
        return {key: value for key, value in body.items() if value is not None} if isinstance(body, dict) else body

    @field_validator("seed", mode="before")
    @classmethod
    def _negative_is_none(cls, value: Any) -> Any:
        return None if isinstance(value, int) and value < 0 else value

    @field_validator("stop", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class StreamOptions(BaseModel):
    """``include_usage`` adds an event with the numbers of tokens at the end."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool = False


class CompletionsBody(_Body):
    """``POST /v1/completions``. ``prompt`` alone is continued; with ``suffix`` the text between them is generated.

    ``model`` is the name of the loaded model or of a resident adapter. ``echo`` and ``logprobs`` have no other value
    than the default, ``best_of`` none than 1 and ``n``. Three fields are our own: ``language`` and ``path`` of the
    file, and ``stop_rules``: a filled-in text ends where a suggestion in an editor would, and not only at the model's
    end of text.
    """

    prompt: str
    suffix: str | None = None
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=0, le=MAX_NEW_TOKENS)] = 16
    n: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1
    best_of: int | None = None
    echo: Literal[False] | None = None
    logprobs: None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logit_bias: None = None
    stream_options: StreamOptions | None = None
    language: Annotated[str, Field(max_length=64)] = ""
    path: Annotated[str, Field(max_length=1024)] = ""
    stop_rules: bool = True

    @field_validator("prompt", mode="before")
    @classmethod
    def _only_one(cls, value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == {} else value

    @field_validator("best_of")
    @classmethod
    def _no_other_candidates(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value not in (None, 1, info.data.get("n")):
            raise ValueError("only 1 and `n` are supported: every generated candidate is returned")
        return value


class ExtraFile(BaseModel):
    """Text of another file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str
    filename: str = ""


class InfillBody(_Body):
    """``POST /infill``. ``prompt`` is the cursor's line up to the cursor and follows ``input_prefix``."""

    input_prefix: str
    input_suffix: str
    input_extra: Annotated[tuple[ExtraFile, ...], Field(max_length=MAX_EXTRA)] = ()
    prompt: str = ""
    n_predict: Annotated[int, Field(ge=-1, le=MAX_NEW_TOKENS)] = 128
    n_indent: Annotated[int, Field(ge=0, le=1000)] = 0
    t_max_predict_ms: Annotated[int, Field(ge=0)] = 0
    response_fields: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    id_slot: int = -1
