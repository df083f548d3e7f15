"""What a new resident process must hear to stand where the last one stood: one window's conversation, kept short.

Decides what is said again and which requests are. Refuses to know positions and texts: changes are kept as they came,
and once they have grown the process is asked for the text they made. Sockets are somebody else's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from starcoder_ls.daemon import offline_replies

PRIVATE = "starcoder-ls/window:"
"""Begins the ids of our own requests; no editor's id begins so."""
TEXT = "starcoder/text"
ENDED = "The model's process ended while it worked on this. It is started again; ask once more."

_REPEATABLE = frozenset(
    {
        "initialize",
        "shutdown",
        "textDocument/inlineCompletion",
        "textDocument/completion",
        "textDocument/codeAction",
        "codeAction/resolve",
        "starcoder/status",
        "starcoder/stats",
        "starcoder/documentStatus",
        "starcoder/prompt",
        "starcoder/text",
    }
)
"""Asking twice does no harm. A command may have changed something already."""

_MOST_CHANGES_BYTES = 256 * 1024

Message = dict[str, Any]


@dataclass(slots=True)
class _Document:
    """``opened`` brings the text up to ``changes``, which follow it."""

    opened: bytes
    changes: list[bytes] = field(default_factory=list)
    changed_bytes: int = 0
    is_asked: bool = False
    asked_at: int = 0
    most_bytes: int = _MOST_CHANGES_BYTES


class ReplayLog:
    """Bodies of messages in, bodies out. Not safe from several threads: its owner locks."""

    def __init__(self) -> None:
        self._initialize: Message | None = None
        self._is_initialized_by_server = False
        self._told: dict[str, bytes] = {}
        self._documents: dict[str, _Document] = {}
        self._open_requests: dict[str, tuple[str, bytes]] = {}
        self._cancelled: dict[str, bytes] = {}
        self._progress: dict[str, Any] = {}
        self._registered: set[str] = set()
        self._shown: set[bytes] = set()
        self._processes = 0
        self.is_told_status = False
        self.has_shut_down = False
        self.has_exited = False

    def sent(self, body: bytes) -> list[bytes]:
        """The editor said ``body``. Answers what to ask the process besides."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return []
        if not isinstance(message, dict) or not isinstance(method := message.get("method"), str):
            return []
        if (request_id := _id(message)) is not None:
            self._open_requests.setdefault(request_id, (method, body))
            if method == "initialize" and self._initialize is None:
                self._initialize = message
            self.has_shut_down |= method == "shutdown"
            return []
        return self._note(method, message.get("params"), body)

    def received(self, body: bytes) -> tuple[bool, bytes | None]:
        """The process said ``body``. Whether the editor is to hear it, and what to answer in its place."""
        try:
            message = json.loads(body)
        except ValueError:
            return True, None
        if not isinstance(message, dict):
            return True, None
        if isinstance(method := message.get("method"), str):
            return self._heard(method, message, body)
        given = message.get("id")
        if isinstance(given, str) and given.startswith(PRIVATE):
            self._answered(given.removeprefix(PRIVATE), message.get("result"))
            return False, None
        request_id = _id(message)
        if request_id is None:
            return True, None
        method, _ = self._open_requests.pop(request_id, ("", b""))
        self._cancelled.pop(request_id, None)
        if method == "initialize":
            self._is_initialized_by_server = "result" in message
        return bool(method), None

    def given_up(self) -> list[bytes]:
        """The process is gone: what the editor must be told now, so that nothing waits for what will not come."""
        bodies = [
            offline_replies.message(method="$/progress", params={"token": token, "value": {"kind": "end"}})
            for token in self._progress.values()
        ]
        self._progress.clear()
        bodies += self.dismissed()
        for request_id, (method, body) in list(self._open_requests.items()):
            if method not in _REPEATABLE:
                self._forget(request_id)
                bodies.append(offline_replies.refusal(body, ENDED))
        return bodies

    def refused(self, sentence: str) -> list[bytes]:
        """No process will answer for a while: the answer to each open request."""
        bodies = []
        for request_id, (method, body) in list(self._open_requests.items()):
            self._forget(request_id)
            bodies.append(offline_replies.answer(method, body, sentence))
        return bodies

    def dismissed(self) -> list[bytes]:
        """The answer to ``shutdown``, for which no process is started."""
        asked = [request_id for request_id, (method, _) in self._open_requests.items() if method == "shutdown"]
        bodies = [offline_replies.message(id=json.loads(request_id), result=None) for request_id in asked]
        for request_id in asked:
            self._forget(request_id)
        return bodies

    @property
    def is_introducing(self) -> bool:
        """The editor waits for the answer to ``initialize``."""
        return any(method == "initialize" for method, _ in self._open_requests.values())

    @property
    def has_requests(self) -> bool:
        return bool(self._open_requests)

    @property
    def first(self) -> Message:
        """The params of ``initialize``; nothing if the editor began with something else."""
        params = (self._initialize or {}).get("params")
        return params if isinstance(params, dict) else {}

    def replay(self) -> list[bytes]:
        """All that a new process must hear, in order: the handshake, the documents, and what is not answered yet."""
        self._processes += 1
        bodies: list[bytes] = []
        requests = dict(self._open_requests)
        if self._is_initialized_by_server and self._initialize is not None:
            bodies.append(json.dumps({**self._initialize, "id": f"{PRIVATE}initialize"}).encode())
        else:
            for request_id, (method, body) in list(requests.items()):
                if method == "initialize":
                    bodies.append(body)
                    del requests[request_id]
        bodies += self._told.values()
        for document in self._documents.values():
            document.is_asked = False
            bodies += [document.opened, *document.changes]
        for request_id, (_, body) in requests.items():
            bodies.append(body)
            if request_id in self._cancelled:
                bodies.append(self._cancelled[request_id])
        return bodies

    def _note(self, method: str, params: Any, body: bytes) -> list[bytes]:
        params = params if isinstance(params, dict) else {}
        if method in ("initialized", "workspace/didChangeConfiguration"):
            self._told[method] = body
        elif method == "exit":
            self.has_exited = True
        elif method == "$/cancelRequest":
            if (request_id := _id(params)) in self._open_requests and request_id is not None:
                self._cancelled[request_id] = body
        elif method.startswith("textDocument/did") and isinstance(document := params.get("textDocument"), dict):
            uri = str(document.get("uri"))
            if method == "textDocument/didOpen":
                self._documents[uri] = _Document(body)
            elif method == "textDocument/didClose":
                self._documents.pop(uri, None)
            elif method == "textDocument/didChange" and uri in self._documents:
                return self._changed(uri, body)
        return []

    def _changed(self, uri: str, body: bytes) -> list[bytes]:
        document = self._documents[uri]
        document.changes.append(body)
        document.changed_bytes += len(body)
        if document.is_asked or document.changed_bytes < max(document.most_bytes, len(document.opened)):
            return []
        document.is_asked, document.asked_at = True, len(document.changes)
        return [offline_replies.message(id=f"{PRIVATE}{uri}", method=TEXT, params={"uri": uri})]

    def _answered(self, uri: str, result: Any) -> None:
        """The text after the first ``asked_at`` changes came, or none where the process has lost track of it."""
        document = self._documents.get(uri)
        if document is None or not document.is_asked:
            return
        document.is_asked = False
        if not isinstance(result, dict):
            document.most_bytes = document.changed_bytes * 2
            return
        document.opened = offline_replies.message(method="textDocument/didOpen", params={"textDocument": result})
        document.changes = document.changes[document.asked_at :]
        document.changed_bytes = sum(map(len, document.changes))
        document.most_bytes = _MOST_CHANGES_BYTES

    def _heard(self, method: str, message: Message, body: bytes) -> tuple[bool, bytes | None]:
        """A request or notification of the process. One that took another's place says some things a second time."""
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if method == "$/progress":
            self._follow_progress(params)
        elif method == offline_replies.STATUS:
            self.is_told_status = True
        elif method == "window/showMessage":
            is_again = self._processes > 1 and body in self._shown
            self._shown.add(body)
            return not is_again, None
        elif method == "client/registerCapability":
            wanted = json.dumps(params, sort_keys=True)
            if wanted in self._registered:
                return False, offline_replies.message(id=message.get("id"), result=None)
            self._registered.add(wanted)
        return True, None

    def _follow_progress(self, params: Message) -> None:
        value, name = params.get("value"), json.dumps(params.get("token"))
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind == "begin":
            self._progress[name] = params.get("token")
        elif kind == "end":
            self._progress.pop(name, None)

    def _forget(self, request_id: str) -> None:
        del self._open_requests[request_id]
        self._cancelled.pop(request_id, None)


def _id(message: Message) -> str | None:
    """1 and "1" are different ids."""
    given = message.get("id")
    return json.dumps(given) if isinstance(given, int | str) and not isinstance(given, bool) else None
