"""The arguments of commands and the data of code actions: their fields, and errors that name the invalid ones."""

from __future__ import annotations

from typing import Any, TypeVar

from lsprotocol import types as t
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.settings import ADAPTER_NAME, Adapter

_ModelT = TypeVar("_ModelT", bound=BaseModel)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LinePosition(_Arguments):
    line: int = Field(ge=0)
    character: int = Field(ge=0)


class LineRange(_Arguments):
    start: LinePosition
    end: LinePosition


class ActionArguments(_Arguments):
    """An action and its target. An empty ``range`` means the function around it.

    ``version`` is the version of the document that the range refers to; partial text is sent to ``token`` by
    ``$/progress``.
    """

    action: str = "explain"
    uri: str
    range: LineRange
    version: int | None = None
    instruction: str = ""
    diagnostics: list[str] = []
    token: str | int | None = None


class AttachArguments(Adapter):
    """The settings of an adapter and its name."""

    name: str = Field(pattern=ADAPTER_NAME)

    @property
    def adapter(self) -> Adapter:
        return Adapter.model_validate(self.model_dump(exclude={"name"}))


class DetachArguments(_Arguments):
    name: str = Field(pattern=ADAPTER_NAME)


class AcceptedArguments(_Arguments):
    id: str = Field(max_length=64)


def parse_arguments(model: type[_ModelT], raw: object, command: str) -> _ModelT:
    """``raw``, the argument of ``command``, as ``model``.

    Raises ResponseError (invalid params) naming each invalid field, but no value.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise ResponseError(t.ErrorCodes.InvalidParams, f"The argument of {command} is invalid: {problems}.") from None


def _describe(problem: Any) -> str:
    key = ".".join(str(step) for step in problem["loc"])
    if problem["type"] == "missing":
        return f"`{key}` is missing"
    if problem["type"] == "extra_forbidden":
        return f"`{key}` is not known"
    message = problem["msg"]
    return f"{f'`{key}`: ' if key else ''}{message[:1].lower()}{message[1:]}"
