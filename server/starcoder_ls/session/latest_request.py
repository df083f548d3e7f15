"""The latest request per kind and document. A newer one, or a change of the document, cancels it."""

from __future__ import annotations

import asyncio

from starcoder_ls.lsp.request_handle import RequestHandle


class LatestRequest:
    """Of one session. ``kind`` is a method or command; ``uri`` may be empty for one request per client."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], RequestHandle] = {}

    def supersede(self, kind: str, uri: str, request: RequestHandle) -> None:
        """Make ``request`` the latest; the previous one gets its response now and is cancelled."""
        self._cancel(kind, uri)
        self._latest[kind, uri] = request
        if request.task is not None:  # a request that has ended cannot be superseded
            request.task.add_done_callback(lambda _: self.conclude(kind, uri, request))

    async def is_latest(self, kind: str, uri: str, request: RequestHandle) -> bool:
        """Make ``request`` the latest, and let messages that have already arrived supersede it.

        False if one did: the request then ends before it has cost anything.
        """
        self.supersede(kind, uri, request)
        await asyncio.sleep(0)
        return not request.cancel.is_set()

    def conclude(self, kind: str, uri: str, request: RequestHandle) -> None:
        """``request`` has its result: changes of the document no longer cancel it."""
        if self._latest.get((kind, uri)) is request:
            del self._latest[kind, uri]

    def cancel_document(self, uri: str) -> None:
        """The text of ``uri`` changed: cancel all requests about it."""
        for kind, request_uri in list(self._latest):
            if request_uri == uri:
                self._cancel(kind, uri)

    def clear(self) -> None:
        self._latest.clear()

    def _cancel(self, kind: str, uri: str) -> None:
        request = self._latest.pop((kind, uri), None)
        if request is not None:
            request.cancel_as_superseded()
