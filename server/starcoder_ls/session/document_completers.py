"""The completion state of each document of one client."""

from __future__ import annotations

from starcoder_ls.completion.document_completer import DocumentCompleter
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.suggestion_cache import CacheBudget


class DocumentCompleters:
    """Creates a ``DocumentCompleter`` for a document when it is first needed. ``budget`` is that of their caches."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.budget = CacheBudget()
        self._by_uri: dict[str, DocumentCompleter] = {}

    def get(self, uri: str) -> DocumentCompleter:
        if (completer := self._by_uri.get(uri)) is None:
            completer = self._by_uri[uri] = DocumentCompleter(self._metrics, budget=self.budget)
        return completer

    def discard(self, uri: str) -> None:
        """The document was closed, or its text is unknown: cancel and forget its completions."""
        if (completer := self._by_uri.pop(uri, None)) is not None:
            completer.close()

    def discard_all(self) -> None:
        for uri in list(self._by_uri):
            self.discard(uri)
