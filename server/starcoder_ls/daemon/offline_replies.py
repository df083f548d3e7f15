"""What an editor is answered while no process answers it: the user one sentence, what came by itself nothing.

Refuses to know why there is no process, and which requests are open.
"""

from __future__ import annotations

import json
from typing import Any

STATUS = "starcoder/status"

_BY_ITSELF = ("textDocument/completion", "textDocument/codeAction", "shutdown", STATUS)
_AUTOMATIC = 2  # InlineCompletionTriggerKind
_REQUEST_FAILED, _ERROR = -32803, 1


def is_asked(body: bytes) -> bool:
    """A request that a user waits for, rather than one that an editor makes by itself."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(said, dict) or "id" not in said or not isinstance(method := said.get("method"), str):
        return False
    if method == "textDocument/inlineCompletion":
        params = said.get("params")
        context = params.get("context") if isinstance(params, dict) else None
        return isinstance(context, dict) and context.get("triggerKind") != _AUTOMATIC
    return method not in _BY_ITSELF


def answer(method: str, body: bytes, sentence: str) -> bytes:
    """To the request ``body``."""
    if method == STATUS:
        return message(id=json.loads(body)["id"], result=_failed(sentence))
    return refusal(body, sentence) if is_asked(body) else message(id=json.loads(body)["id"], result=None)


def refusal(body: bytes, sentence: str) -> bytes:
    return message(id=json.loads(body)["id"], error={"code": _REQUEST_FAILED, "message": sentence})


def told(sentence: str, has_status: bool) -> list[bytes]:
    """A message to the user, and one to the status line where the editor ``has_status``."""
    bodies = [message(method="window/showMessage", params={"type": _ERROR, "message": f"StarCoder: {sentence}"})]
    return [*bodies, message(method=STATUS, params=_failed(sentence))] if has_status else bodies


def message(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}, separators=(",", ":")).encode()


def _failed(sentence: str) -> dict[str, Any]:
    """As ``session.announcer`` describes an engine that has failed."""
    return {
        "phase": "failed",
        "message": sentence,
        "model": "",
        "device": "",
        "progress": 0.0,
        "memoryBytes": 0,
        "sharing": {"isShared": True, "windows": 0, "startedAt": 0},
        "adapters": [],
    }
