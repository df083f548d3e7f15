"""Messages for invalid settings: each names the key, the value and the reason, and is short whatever the values are."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ValidationError

from starcoder_ls.printable import escape_control_characters

_MAX_NAMED = 10
_MAX_CHARS = 200
"""Of a key, a value or a reason. They may come from a folder's settings, or be anything if a client is broken."""

_REASONS = {
    "int": "a whole number is needed",
    "float": "a number is needed",
    "bool": "true or false is needed",
    "string": "text in quotes is needed",
    "list": "a list in brackets is needed",
    "dict": "a table is needed",
    "model": "a table is needed",
}
"""By the first part of pydantic's error types `int_parsing`, `string_type` and so on."""

_values = reprlib.Repr()
_values.maxstring = _values.maxother = _values.maxlong = _MAX_CHARS
_values.maxlevel = 4


def describe_errors(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """One sentence for each of the first invalid keys, and for an unknown one the most similar setting of ``model``."""
    problems = error.errors()
    sentences = []
    for problem in problems[:_MAX_NAMED]:
        key = shorten(".".join(str(step) for step in problem["loc"]) or "a key")
        if problem["type"] == "extra_forbidden":
            sentences.append(f"there is no setting `{key}`.{_suggestion(model, problem['loc'])}")
        elif problem["type"] == "missing":
            sentences.append(f"`{key}` is missing.")
        else:
            reason = _reason(problem["type"], problem["msg"])
            sentences.append(f"`{key}` cannot be {_show_value(problem['input'])}: {reason[:1].lower()}{reason[1:]}.")
    if len(problems) > _MAX_NAMED:
        sentences.append(f"{len(problems) - _MAX_NAMED} more are invalid.")
    return " ".join(sentences)


def _reason(error_type: str, message: str) -> str:
    kind, _, what = error_type.partition("_")
    if what in ("parsing", "type", "from_float"):
        return _REASONS.get(kind, shorten(message))
    return shorten(message.removeprefix("Value error, "))


def _suggestion(model: type[BaseModel] | None, path: Sequence[object]) -> str:
    """A question that names the setting that the user may have meant; empty if none is similar."""
    section = model
    for step in path[:-1]:
        field = section.model_fields.get(str(step)) if section else None
        if field is not None:  # else the step is the name of a table, such as that of an adapter
            types = (field.annotation, *get_args(field.annotation))
            section = next((kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    similar = get_close_matches(str(path[-1]), section.model_fields if section else (), 1)
    return f" Did you mean `{shorten('.'.join(map(str, (*path[:-1], *similar))))}`?" if similar else ""


def describe_unknown(names: Sequence[str]) -> str:
    """A sentence with the first ``names``, which are no settings."""
    shown = "`, `".join(map(shorten, names[:_MAX_NAMED]))
    more = f", nor {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"There is no setting `{shown}`{more}."


def shorten(text: object) -> str:
    """``text`` for a message: at most 200 characters, with control characters and lone surrogates as escapes."""
    shown = str(text)
    shown = shown if len(shown) <= _MAX_CHARS else f"{shown[: _MAX_CHARS - 1]}…"
    return escape_control_characters(shown)


def _show_value(value: object) -> str:
    try:
        return shorten(_values.repr(value))
    except ValueError:  # Python refuses to write a number of more than 4,300 digits
        return "a very long number"
