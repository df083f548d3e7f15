"""Which documents of a window made the daemon crash or hang, and how their messages are answered afterwards.

After MAX_FAILURES that are attributed to it, a document is quarantined: the next daemon does not receive it, and the
window answers the requests about it. Closing and opening the document ends this, with one failure left to the next
quarantine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from starcoder_ls.daemon import message, offline_replies
from starcoder_ls.daemon.activity import Suspects, document_hash
from starcoder_ls.daemon.message import Message
from starcoder_ls.daemon.replayed_notebooks import cell_uris

MAX_FAILURES = 2
FORGET_AFTER_S = 900.0
"""Failures further apart count as unrelated: a daemon can also be killed from outside, at a random moment."""

_STATUS_METHOD = "starcoder/documentStatus"
_MAX_DEPTH, _MAX_ITEMS = 4, 10


def document_uri(params: object) -> str:
    """The URI of the document that ``params`` of a message are about; empty if they name none."""
    if not isinstance(params, Mapping):
        return ""
    identifier = params.get("textDocument", params.get("notebookDocument"))
    uri = identifier.get("uri") if isinstance(identifier, Mapping) else None
    return uri if isinstance(uri, str) else next(_uris(params, _MAX_DEPTH), "")


def _uris(value: object, depth: int) -> Iterator[str]:
    """The strings called ``uri`` in parsed JSON, down to ``depth``."""
    if depth and isinstance(value, Mapping):
        if isinstance(uri := value.get("uri"), str):
            yield uri
        for inner in islice(value.values(), _MAX_ITEMS):
            yield from _uris(inner, depth - 1)
    elif depth and isinstance(value, list):
        for inner in value[:_MAX_ITEMS]:
            yield from _uris(inner, depth - 1)


class Quarantine:
    """The quarantined documents of the window ``window``, by URI. Not thread-safe: the owner holds a lock."""

    def __init__(self, window: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._window, self._clock = window, clock
        self._failures: dict[str, list[tuple[float, bool]]] = {}  # by URI: when, and whether the attribution was exact
        self._quarantined: set[str] = set()

    @property
    def has_failures(self) -> bool:
        return bool(self._failures)

    def is_involved(self, suspects: Suspects, documents: Iterable[str]) -> bool:
        """Whether the failure may be due to this window: it is among the suspects, or nothing is known."""
        digests = {document_hash(uri) for uri in documents}
        entries = suspects.entries
        return not entries or any(window == self._window or digest in digests for window, digest in entries)

    def record_failure(self, suspects: Suspects, documents: Iterable[str]) -> list[str]:
        """A daemon has crashed or hung. Returns those of the open ``documents`` that are quarantined for it."""
        now_s, digests = self._clock(), {digest for _, digest in suspects.entries}
        for uri, failures in list(self._failures.items()):
            if uri not in self._quarantined and all(now_s - failure[0] >= FORGET_AFTER_S for failure in failures):
                del self._failures[uri]
        quarantined = []
        for uri in documents:
            if document_hash(uri) not in digests:
                continue
            earlier = [failure for failure in self._failures.get(uri, []) if now_s - failure[0] < FORGET_AFTER_S]
            self._failures[uri] = [*earlier, (now_s, suspects.is_exact)]
            if len(self._failures[uri]) >= MAX_FAILURES:
                self._quarantined.add(uri)
                quarantined.append(uri)
        return quarantined

    def record_result(self, request: Message) -> None:
        """The model has answered ``request``: inexact attributions to its document were wrong."""
        if self._failures and (failures := self._failures.get(document_uri(request.params))):
            failures[:] = [failure for failure in failures if failure[1]]

    def is_about_quarantined(self, sent: Message) -> bool:
        return bool(self._quarantined) and document_uri(sent.params) in self._quarantined

    def intercept(self, sent: Message, has_status: bool) -> list[bytes] | None:
        """Replies to a message about a quarantined document, which is not forwarded; None for any other message.

        ``has_status`` says whether the editor receives ``starcoder/documentStatus``.
        """
        if not self._quarantined or sent.method is None:
            return None
        uri = document_uri(sent.params)
        if sent.method in ("notebookDocument/didOpen", "notebookDocument/didClose"):
            for cell in cell_uris(sent):
                self._release(cell)
        if uri not in self._quarantined:
            return None
        if "id" in sent.fields:
            return [self.reply_to(sent)]
        if not sent.method.endswith(("Document/didOpen", "Document/didClose")):
            return []
        self._release(uri)
        released = message.encode(method=_STATUS_METHOD, params={"uri": uri, "status": "included", "reason": ""})
        return None if sent.method.endswith("didOpen") else [released] if has_status else []

    def _release(self, uri: str) -> None:
        if uri in self._quarantined:
            self._quarantined.discard(uri)
            self._failures[uri] = self._failures[uri][: MAX_FAILURES - 1]

    def reply_to(self, request: Message) -> bytes:
        """The response to a request about a quarantined document."""
        uri = document_uri(request.params)
        if request.method == _STATUS_METHOD:
            return message.encode(id=request.id, result=_status(uri))
        return offline_replies.reply_to(request, reason(uri))


def reason(uri: str) -> str:
    return (
        f"{_name(uri)} made the model's process fail {MAX_FAILURES} times and is not sent to it any more. "
        "Close the document and open it again to retry."
    )


def notifications(uri: str, has_status: bool) -> list[bytes]:
    """What the editor is told when ``uri`` is quarantined."""
    bodies = [offline_replies.warning(reason(uri))]
    if has_status:
        bodies.append(message.encode(method=_STATUS_METHOD, params=_status(uri)))
    return bodies


def _status(uri: str) -> dict[str, str]:
    """As ``session.workspace_context`` reports it."""
    return {"uri": uri, "status": "excluded", "reason": reason(uri)}


def _name(uri: str) -> str:
    """The last part of the path without control characters, for a message."""
    try:
        name = PurePosixPath(unquote(urlsplit(uri).path)).name
    except ValueError:
        name = ""
    return "".join(char for char in name if char.isprintable())[:80] or "A document"
