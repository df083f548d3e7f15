"""The flow that both completion methods share: from an editor's request to items with the commands of feedback.

Decides when a request is not answered: it was superseded, the client does not read its messages, no engine is ready, or
the text has changed since.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from lsprotocol import types as t

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.document_completers import DocumentCompleters
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.feedback import Feedback
from starcoder_ls.session.latest_request import LatestRequest

Item = TypeVar("Item")
ItemOut = TypeVar("ItemOut", covariant=True)


class Conversion(Protocol[ItemOut]):
    """How a method reads the cursor from one request, and how it turns a suggestion into an item of the result."""

    @property
    def cursor(self) -> Cursor: ...

    def item(self, suggestion: Suggestion, command: t.Command | None) -> ItemOut | None:
        """None if the editor could not show it."""
        ...


@dataclass(frozen=True, slots=True)
class CompletionItems(Generic[Item]):
    """``is_enabled``: the settings allow suggestions in the document's language; if not, there are no items."""

    items: list[Item]
    is_enabled: bool = True


class CompletionRequests:
    """Of one client. While ``is_client_slow`` is true, no request is answered."""

    def __init__(
        self,
        supervisor: EngineSupervisor,
        settings: ClientSettings,
        documents: Documents,
        latest: LatestRequest,
        completers: DocumentCompleters,
        feedback: Feedback,
        collect_context: Callable[[Document, Cursor], Awaitable[Cursor]],
        is_client_slow: Callable[[], bool],
    ) -> None:
        self._supervisor, self._settings, self._documents = supervisor, settings, documents
        self._latest, self._completers, self._feedback = latest, completers, feedback
        self._collect_context, self._is_client_slow = collect_context, is_client_slow

    async def complete(
        self,
        method: str,
        uri: str,
        handle: RequestHandle,
        convert: Callable[[Document], Conversion[Item]],
        has_several: bool = False,
        engine_timeout_s: float = 0.0,
    ) -> CompletionItems[Item] | None:
        """The items for a request of ``method``; None if it is not to be answered.

        Asks for as many suggestions as the settings say if ``has_several``, else for one. Waits ``engine_timeout_s``
        for an engine that is loading. Raises DocumentError, and what ``convert`` and ``DocumentCompleter.suggest``
        raise.
        """
        is_latest = await self._latest.is_latest(method, uri, handle)
        settings = self._settings.current.inline_completion
        if not is_latest or self._is_client_slow():
            return None
        engine = self._supervisor.ready_engine() or await self._supervisor.wait_until_ready(engine_timeout_s)
        if engine is None:
            return None
        document = self._documents.for_model(uri)
        if not settings.is_enabled_in(document.language):
            return CompletionItems([], is_enabled=False)
        text, conversion = document.text, convert(document)
        cursor = await self._collect_context(document, conversion.cursor)
        if not self._documents.is_unchanged(document, text):
            return None
        candidates = settings.candidates if has_several else 1
        suggestions = await self._completers.get(uri).suggest(engine, cursor, settings, candidates)
        if not self._documents.is_unchanged(document, text):
            return None
        commands = self._feedback.offer(cursor, suggestions)
        items = map(conversion.item, suggestions, commands)
        return CompletionItems([item for item in items if item is not None])
