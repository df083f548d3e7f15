"""What a client sends with a command, or gets back with a resolved action.

Decides which shape it has and says what is wrong with another. Refuses to know what is done with it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from lsprotocol import types as t
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.settings import ADAPTER_NAME, Adapter

_Shape = TypeVar("_Shape", bound=BaseModel)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Place(_Arguments):
    line: int = Field(ge=0)
    character: int = Field(ge=0)


class Stretch(_Arguments):
    start: Place
    end: Place


class ActionArguments(_Arguments):
    """An action and what it is done to. ``range`` may be empty: then the function around it is meant.

    ``version`` is that of the document the range is about; ``token`` is where partial text goes by ``$/progress``.
    """

    action: str = "explain"
    uri: str
    range: Stretch
    version: int | None = None
    instruction: str = ""
    diagnostics: list[str] = []
    token: str | int | None = None


class AttachArguments(Adapter):
    """The settings of an adapter, and its name."""

    name: str = Field(pattern=ADAPTER_NAME)

    @property
    def adapter(self) -> Adapter:
        return Adapter.model_validate(self.model_dump(exclude={"name"}))


class DetachArguments(_Arguments):
    name: str = Field(pattern=ADAPTER_NAME)


class AcceptedArguments(_Arguments):
    id: str = Field(max_length=64)


def read(shape: type[_Shape], given: object, what: str) -> _Shape:
    """``given`` as ``shape``. Raises Refusal (invalid params) naming each place that does not fit, but no value."""
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        places = [_sentence(problem) for problem in error.errors()]
        raise ResponseError(
            t.ErrorCodes.InvalidParams, f"The argument of {what} does not fit: {'; '.join(places)}."
        ) from None


def _sentence(problem: Any) -> str:
    key = ".".join(str(step) for step in problem["loc"])
    if problem["type"] == "missing":
        return f"`{key}` is missing"
    if problem["type"] == "extra_forbidden":
        return f"`{key}` is not known"
    message = problem["msg"]
    return f"{f'`{key}`: ' if key else ''}{message[:1].lower()}{message[1:]}"
