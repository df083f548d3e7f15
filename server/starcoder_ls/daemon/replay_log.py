"""The state of a window's LSP session that a new daemon needs: handshake, folders, open documents, unanswered requests.

The log decides which requests are repeated and which are answered with an error when the daemon ends. The documents are
in ``replayed_documents``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starcoder_ls.daemon import message, offline_replies, replayed_folders
from starcoder_ls.daemon.message import Message
from starcoder_ls.daemon.replayed_documents import ReplayedDocuments
from starcoder_ls.daemon.replayed_folders import ReplayedFolders
from starcoder_ls.daemon.replayed_notebooks import NOTEBOOK_METHOD, PREFIX, ReplayedNotebooks
from starcoder_ls.daemon.sent_notices import SentNotices

OWN_ID_PREFIX = "starcoder-ls/window:"
"""Prefix of the ids of requests that the log itself sends; no editor uses it."""

TEXT_METHOD = "starcoder/text"
_NOTEBOOK_ID_PREFIX = f"{OWN_ID_PREFIX}notebook "  # no URI of a document begins like this
DUPLICATE_ID = "A request with this id is still running."
RESERVED_ID = f"Ids that begin with {OWN_ID_PREFIX} are reserved."
TOO_MANY_REQUESTS = "Too many requests wait for an answer. Read the answers, or restart the server."
INTERRUPTED = "The model's process ended while it worked on this request. It is being restarted; try again."

_REPEATABLE_METHODS = frozenset(
    {
        "initialize",
        "shutdown",
        "textDocument/inlineCompletion",
        "textDocument/completion",
        "textDocument/copilotInlineEdit",
        "textDocument/codeAction",
        "codeAction/resolve",
        "starcoder/status",
        "starcoder/stats",
        "starcoder/documentStatus",
        "starcoder/prompt",
        "starcoder/text",
        "starcoder/notebook",
    }
)
"""Requests without side effects. A command may already have changed something."""

_INVALID_REQUEST = -32600  # JSON-RPC
MAX_OPEN_REQUEST_BYTES = 4 * 1024 * 1024

_REQUEST_BYTES = 512
"""What Python's objects for a request take beside its body."""


class _OpenRequests(dict[str, Message]):
    """Requests by id key, and how many bytes they take."""

    size_bytes = 0

    def __setitem__(self, key: str, request: Message) -> None:
        self.pop(key)
        super().__setitem__(key, request)
        self.size_bytes += _REQUEST_BYTES + len(request.body)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def pop(self, key: str, default: Message | None = None) -> Message | None:  # type: ignore[override]
        if (request := super().pop(key, None)) is None:
            return default
        self.size_bytes -= _REQUEST_BYTES + len(request.body)
        return request


class ReplayLog:
    """Takes the messages in both directions and returns bodies to send. Not thread-safe: the owner holds a lock."""

    def __init__(self) -> None:
        self._initialize: Message | None = None
        self._is_initialize_answered = False
        self._latest_notifications: dict[str, bytes] = {}  # by method
        self._folders = ReplayedFolders()
        self._documents = ReplayedDocuments()
        self._notebooks = ReplayedNotebooks()
        self._open_requests = _OpenRequests()  # by id key, as below
        self._cancellations: dict[str, bytes] = {}
        self._notices = SentNotices()
        self._replays = 0
        self.has_status_notifications = False
        self.has_shut_down = False
        self.has_exited = False

    @property
    def is_initializing(self) -> bool:
        """Whether the editor waits for the response to ``initialize``."""
        return any(request.method == "initialize" for request in self._open_requests.values())

    @property
    def has_open_requests(self) -> bool:
        return bool(self._open_requests)

    @property
    def initialize_params(self) -> dict[str, Any]:
        """Empty if the editor did not begin with ``initialize``."""
        return self._initialize.params if self._initialize is not None else {}

    def rejection_of(self, sent: Message) -> bytes | None:
        """The error response to a request of the editor whose id another open request has; None for other messages.

        Both answers would have the same id: that of the daemon to the second would be taken for that to the first.
        """
        if sent.method is None or (key := sent.id_key) is None:
            return None
        if key in self._open_requests:
            return message.encode(id=sent.id, error={"code": _INVALID_REQUEST, "message": DUPLICATE_ID})
        if self._open_requests.size_bytes > MAX_OPEN_REQUEST_BYTES:
            return offline_replies.error_reply(sent, TOO_MANY_REQUESTS)
        if isinstance(sent.id, str) and sent.id.startswith(OWN_ID_PREFIX):
            return message.encode(id=sent.id, error={"code": _INVALID_REQUEST, "message": RESERVED_ID})
        return None

    def record_sent(self, sent: Message) -> list[bytes]:
        """Record a message of the editor that is sent to the daemon. Returns requests of the log to send after it."""
        if sent.method is None:
            return []
        if (key := sent.id_key) is None:
            return [] if "id" in sent.fields else self._record_notification(sent)
        self._open_requests[key] = sent
        if sent.method == "initialize" and self._initialize is None:
            self._initialize = sent
        self.has_shut_down |= sent.method == "shutdown"
        return []

    def record_received(self, received: Message) -> tuple[bool, bytes | None]:
        """Record a message of the daemon. Returns whether to forward it to the editor, and a reply to send instead."""
        if received.method is not None:
            return self._record_daemon_call(received)
        if isinstance(received.id, str) and received.id.startswith(_NOTEBOOK_ID_PREFIX):
            self._notebooks.set_notebook(received.id.removeprefix(_NOTEBOOK_ID_PREFIX), received.fields.get("result"))
            return False, None
        if isinstance(received.id, str) and received.id.startswith(OWN_ID_PREFIX):
            self._documents.set_text(received.id.removeprefix(OWN_ID_PREFIX), received.fields.get("result"))
            return False, None
        if (key := received.id_key) is None:
            return True, None
        request = self._open_requests.pop(key, None)
        self._cancellations.pop(key, None)
        if request is not None and request.method == "initialize":
            self._is_initialize_answered = "result" in received.fields
        return request is not None, None

    def record_disconnect(self) -> list[bytes]:
        """The daemon has ended. Returns messages to the editor: ends of progress, and responses to requests that are
        not repeated."""
        bodies = [
            message.encode(method="$/progress", params={"token": token, "value": {"kind": "end"}})
            for token in self._notices.take_open_progress()
        ]
        bodies += self.answer_shutdown()
        for key, request in list(self._open_requests.items()):
            if request.method not in _REPEATABLE_METHODS:
                self._remove_request(key)
                bodies.append(offline_replies.error_reply(request, INTERRUPTED))
        return bodies

    def reject_open_requests(self, error_text: str) -> list[bytes]:
        """Returns a response to each open request, for a time in which no daemon is started."""
        requests = self.remove_open_requests(lambda _: True)
        return [offline_replies.reply_to(request, error_text) for request in requests]

    def remove_open_requests(self, is_removed: Callable[[Message], bool]) -> list[Message]:
        """Forget those of the open requests for which ``is_removed`` holds. The caller answers them."""
        removed = {key: request for key, request in self._open_requests.items() if is_removed(request)}
        for key in removed:
            self._remove_request(key)
        return list(removed.values())

    @property
    def replayed_uris(self) -> list[str]:
        return [*self._documents.uris, *self._notebooks.uris]

    def remove_document(self, uri: str) -> None:
        """Do not replay the document, nor what the editor sends about it before it opens it again."""
        self._documents.remove(uri)
        self._notebooks.remove(uri)

    def request_answered_by(self, received: Message) -> Message | None:
        return None if received.id_key is None else self._open_requests.get(received.id_key)

    def answer_shutdown(self) -> list[bytes]:
        """Returns the response to an open ``shutdown``, for which no daemon is started."""
        keys = [key for key, request in self._open_requests.items() if request.method == "shutdown"]
        replies = [message.encode(id=self._open_requests[key].id, result=None) for key in keys]
        for key in keys:
            self._remove_request(key)
        return replies

    def replay(self) -> list[bytes]:
        """Returns the bodies that bring a new daemon up to date: handshake, folders, documents, open requests."""
        self._replays += 1
        bodies: list[bytes] = []
        requests = dict(self._open_requests)
        if self._is_initialize_answered and self._initialize is not None:
            own_initialize = {**self._initialize.fields, "id": f"{OWN_ID_PREFIX}initialize"}
            bodies.append(json.dumps(own_initialize).encode())
        else:
            for key, request in self._open_requests.items():
                if request.method == "initialize":
                    bodies.append(request.body)
                    del requests[key]
        bodies += self._latest_notifications.values()
        bodies += self._folders.replay()
        bodies += self._documents.replay()
        bodies += self._notebooks.replay()
        for key, request in requests.items():
            bodies.append(request.body)
            if key in self._cancellations:
                bodies.append(self._cancellations[key])
        return bodies

    def _record_notification(self, sent: Message) -> list[bytes]:
        method = sent.method or ""
        if method in ("initialized", "workspace/didChangeConfiguration"):
            self._latest_notifications[method] = sent.body
        elif method == replayed_folders.METHOD:
            self._folders.record(sent)
        elif method == "exit":
            self.has_exited = True
        elif method == "$/cancelRequest":
            key = message.id_key(sent.params.get("id"))
            if key is not None and key in self._open_requests:
                self._cancellations[key] = message.encode(method=method, params={"id": sent.params["id"]})
        elif method.startswith("textDocument/did") and isinstance(identifier := sent.params.get("textDocument"), dict):
            uri = str(identifier.get("uri"))
            if method == "textDocument/didOpen":
                self._documents.add(uri, sent.body)
            elif method == "textDocument/didClose":
                self._documents.remove(uri)
            elif method == "textDocument/didChange" and self._documents.change(uri, sent.body):
                return [message.encode(id=f"{OWN_ID_PREFIX}{uri}", method=TEXT_METHOD, params={"uri": uri})]
        elif method.startswith(PREFIX) and (grown := self._notebooks.record(sent)) is not None:
            return [message.encode(id=f"{_NOTEBOOK_ID_PREFIX}{grown}", method=NOTEBOOK_METHOD, params={"uri": grown})]
        return []

    def _record_daemon_call(self, received: Message) -> tuple[bool, bytes | None]:
        """A request or notification of the daemon. A daemon that replaces another repeats messages and registrations,
        which the editor must not receive twice."""
        if received.method == "$/progress":
            self._notices.record_progress(received.params)
        elif received.method == offline_replies.STATUS_METHOD:
            self.has_status_notifications = True
        elif received.method == "window/showMessage":
            is_repeated = self._notices.is_repeated_message(received.body)
            return not (is_repeated and self._replays > 1), None
        elif received.method == "client/registerCapability" and self._notices.is_repeated_registration(received.params):
            return False, message.encode(id=received.id, result=None)
        return True, None

    def _remove_request(self, key: str) -> None:
        del self._open_requests[key]
        self._cancellations.pop(key, None)
