"""JSON values to lsprotocol's types and back.

Stricter than cattrs about scalars, laxer about one enum. Errors name the fields that do not fit and quote no values.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any

from cattrs import BaseValidationError, ClassValidationError, Converter, IterableValidationError
from lsprotocol import types as t
from pygls.protocol import default_converter

from starcoder_ls.lsp import key_messages
from starcoder_ls.lsp.key_messages import NO_VERSION, UINTEGER_LIMIT, DocumentChange, InlineCompletionRequest
from starcoder_ls.lsp.request_handle import ResponseError

_PLAIN: dict[type[Any], tuple[Callable[[Any], Any], type[Any], Callable[[Any], Any]]] = {
    DocumentChange: (key_messages.read_key_stroke, t.DidChangeTextDocumentParams, key_messages.document_change),
    InlineCompletionRequest: (
        key_messages.read_usual_request,
        t.InlineCompletionParams,
        key_messages.inline_completion_request,
    ),
}
"""Plain values: how the usual messages become them, and lsprotocol's type for all others."""


@functools.cache
def converter() -> Converter:
    """The converter of the process; building one takes 15 ms."""
    built: Converter = default_converter()  # type: ignore[no-untyped-call]
    built.register_structure_hook(t.InlineCompletionTriggerKind, _structure_trigger_kind)
    for scalar in (str, int, bool):
        built.register_structure_hook(scalar, _structure_scalar)
    return built


def structure(raw: object, target: type[Any]) -> Any:
    """``raw`` as ``target``, one of lsprotocol's types or of those in ``_PLAIN``.

    Raises ResponseError (invalid params) naming each field that does not fit.
    """
    if (plain := _PLAIN.get(target)) is not None:
        read_usual, target, convert = plain
        usual = read_usual(raw)
        return convert(_structure(raw, target)) if usual is None else usual
    return _structure(raw, target)


def _structure(raw: object, target: type[Any]) -> Any:
    if target in (t.DidChangeTextDocumentParams, t.DidOpenTextDocumentParams):
        raw = _fill_text_document_params(raw)
    try:
        return converter().structure(raw, target)
    except BaseValidationError as error:
        fields = ", ".join(_invalid_fields(error, "params"))
        raise ResponseError(t.ErrorCodes.InvalidParams, f"Missing or of the wrong type: {fields}.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ResponseError(t.ErrorCodes.InvalidParams, f"The params are no {target.__name__}.") from None


def _fill_text_document_params(raw: Any) -> Any:
    """The params of ``didOpen`` and ``didChange`` with values for what clients leave out or send as null.

    Without them the document would be lost: a null range is that of the whole text, and numbers of lines and characters
    above LSP's limit mean the end, as all behind it do. Everything else that is invalid stays so.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("textDocument"), dict):
        return raw
    document = dict(raw["textDocument"])
    if document.get("version") is None:
        document["version"] = NO_VERSION
    if document.get("languageId") is None:
        document["languageId"] = ""
    changes = raw.get("contentChanges")
    if isinstance(changes, list):
        return {**raw, "textDocument": document, "contentChanges": [_fill_change(change) for change in changes]}
    return {**raw, "textDocument": document}


def _fill_change(change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    filled = {name: value for name, value in change.items() if value is not None or name == "text"}
    if "range" not in filled:
        filled.pop("rangeLength", None)
    elif isinstance(filled["range"], dict):
        filled["range"] = {name: _clamp_position(value) for name, value in filled["range"].items()}
    if isinstance(filled.get("rangeLength"), int):
        filled["rangeLength"] = _clamp(filled["rangeLength"])
    return filled


def _clamp_position(position: Any) -> Any:
    return {name: _clamp(value) for name, value in position.items()} if isinstance(position, dict) else position


def _clamp(number: Any) -> Any:
    return min(number, UINTEGER_LIMIT - 1) if type(number) is int else number


def _structure_scalar(value: object, target: type[Any]) -> object:
    """``value`` if it has exactly the type ``target``; enums based on int are converted.

    cattrs would convert everything: a change whose text is null would insert "None".
    """
    if issubclass(target, enum.Enum):
        return target(value)
    if type(value) is not target:
        raise TypeError(f"expected {target.__name__}")
    return value


def _structure_trigger_kind(value: Any, _: type) -> t.InlineCompletionTriggerKind:
    """Clients built on vscode-languageclient 9 send 0 for "invoked"; LSP 3.18 begins at 1."""
    if value == 0:
        return t.InlineCompletionTriggerKind.Invoked
    return t.InlineCompletionTriggerKind(value)


def _invalid_fields(error: BaseException, path: str) -> list[str]:
    """Paths of the innermost errors; the messages of cattrs may quote values, which may be source code."""
    if not isinstance(error, (ClassValidationError, IterableValidationError)):
        return [path]
    with_notes, without_notes = error.group_exceptions()
    fields = [path] if without_notes else []
    for inner, note in with_notes:
        step = f".{_camel_case(note.name)}" if hasattr(note, "name") else f"[{note.index}]"
        fields += _invalid_fields(inner, path + step)
    return fields


def _camel_case(attribute: str) -> str:
    first, *others = attribute.split("_")
    return first + "".join(word.capitalize() for word in others)
