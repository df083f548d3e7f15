"""Replies to the editor while no daemon is available: an error where a user waits, an empty result elsewhere."""

from __future__ import annotations

from typing import Any

from starcoder_ls.daemon import message
from starcoder_ls.daemon.message import Message

STATUS_METHOD = "starcoder/status"

_NEXT_EDIT_METHOD = "textDocument/copilotInlineEdit"
_AUTOMATIC_METHODS = (
    "textDocument/completion",
    "textDocument/codeAction",
    "shutdown",
    STATUS_METHOD,
    _NEXT_EDIT_METHOD,
)
_AUTOMATIC_TRIGGER = 2  # LSP: InlineCompletionTriggerKind.Automatic
_REQUEST_FAILED = -32803  # LSP: LSPErrorCodes.RequestFailed
_MESSAGE_TYPE_ERROR, _MESSAGE_TYPE_WARNING = 1, 2  # LSP: MessageType


def is_user_request(request: Message) -> bool:
    """Whether a user waits for the answer, as opposed to a request that the editor sends automatically."""
    if "id" not in request.fields or request.method is None:
        return False
    if request.method == "textDocument/inlineCompletion":
        context = request.params.get("context")
        return isinstance(context, dict) and context.get("triggerKind") != _AUTOMATIC_TRIGGER
    return request.method not in _AUTOMATIC_METHODS


def reply_to(request: Message, error_text: str) -> bytes:
    """The response to ``request`` while the daemon is unavailable because of ``error_text``."""
    if request.method == STATUS_METHOD:
        return message.encode(id=request.id, result=_failed_status(error_text))
    if request.method == _NEXT_EDIT_METHOD:  # clients read the field without a check
        return message.encode(id=request.id, result={"edits": []})
    return error_reply(request, error_text) if is_user_request(request) else message.encode(id=request.id, result=None)


def error_reply(request: Message, error_text: str) -> bytes:
    return message.encode(id=request.id, error={"code": _REQUEST_FAILED, "message": error_text})


def warning(text: str) -> bytes:
    """``window/showMessage`` with a warning."""
    shown = {"type": _MESSAGE_TYPE_WARNING, "message": f"StarCoder: {text}"}
    return message.encode(method="window/showMessage", params=shown)


def failure_notifications(error_text: str, has_status: bool) -> list[bytes]:
    """``window/showMessage``, and ``starcoder/status`` if the editor subscribed to it (``has_status``)."""
    shown = {"type": _MESSAGE_TYPE_ERROR, "message": f"StarCoder: {error_text}"}
    bodies = [message.encode(method="window/showMessage", params=shown)]
    if has_status:
        bodies.append(message.encode(method=STATUS_METHOD, params=_failed_status(error_text)))
    return bodies


def _failed_status(error_text: str) -> dict[str, Any]:
    """The status that ``session.status_notifier`` sends for an engine that has failed."""
    return {
        "phase": "failed",
        "message": error_text,
        "model": "",
        "device": "",
        "progress": 0.0,
        "memoryBytes": 0,
        "sharing": {"isShared": True, "windows": 0, "startedAt": 0},
        "adapters": [],
    }
