"""The flow that both completion methods share: from an editor's request to items with the commands of feedback.

Decides when a request is not answered: it was superseded, the client does not read its messages, no engine is ready, or
the text has changed since.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.document_completer import DocumentCompleter
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.errors import EngineBusy, EngineUnreachable
from starcoder_ls.generation import Engine
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.document_completers import DocumentCompleters
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.feedback import Feedback
from starcoder_ls.session.latest_request import LatestRequest
from starcoder_ls.settings import InlineCompletion

Item = TypeVar("Item")
ItemOut = TypeVar("ItemOut", covariant=True)


class Conversion(Protocol[ItemOut]):
    """How a method reads the cursor from one request, and how it turns a suggestion into an item of the result."""

    @property
    def cursor(self) -> Cursor: ...

    def item(self, suggestion: Suggestion, key: str | None) -> ItemOut | None:
        """None if the editor could not show it. ``key`` is that of ``Feedback.offer``."""
        ...


@dataclass(frozen=True, slots=True)
class CompletionItems(Generic[Item]):
    """``is_enabled``: the settings allow suggestions in the document's language; if not, there are no items."""

    items: list[Item]
    is_enabled: bool = True


class Trigger(enum.Enum):
    """Why the editor requests suggestions. ``UNKNOWN``: editors do not tell typing from a key for it."""

    AUTOMATIC = enum.auto()
    INVOKED = enum.auto()
    UNKNOWN = enum.auto()


SAME_KEY_S = 0.005
"""Editors send the requests for one key within this time."""

_REGIONS = {"comment": "comments", "string": "strings"}
"""By the regions of the syntax, the names that `inline_completion.excluded_regions` has for them."""


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
        self._running, self._is_idle = 0, asyncio.Event()
        self._is_idle.set()

    async def wait_until_idle(self) -> None:
        """Return when no suggestion is being made. A request for the same key that comes a little later counts."""
        await asyncio.sleep(SAME_KEY_S)
        await self._is_idle.wait()

    @contextmanager
    def _as_running(self) -> Iterator[None]:
        self._running += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._is_idle.set()

    async def complete(
        self,
        method: str,
        uri: str,
        handle: RequestHandle,
        convert: Callable[[Document], Conversion[Item]],
        trigger: Trigger = Trigger.UNKNOWN,
        engine_timeout_s: float = 0.0,
    ) -> CompletionItems[Item] | None:
        """The items for a request of ``method``; None if it is not to be answered.

        Asks for as many suggestions as the settings say if the user invoked it, else for one. Waits
        ``engine_timeout_s`` for an engine that is loading. Raises DocumentError, and what ``convert`` and
        ``DocumentCompleter.suggest`` raise.
        """
        is_latest = await self._latest.is_latest(method, uri, handle)
        if not is_latest or self._is_client_slow():
            return None
        engine = self._supervisor.ready_engine() or await self._supervisor.wait_until_ready(engine_timeout_s)
        if engine is None:
            return None
        with self._as_running():
            return await self._find_items(engine, uri, convert, trigger)

    async def _find_items(
        self, engine: Engine, uri: str, convert: Callable[[Document], Conversion[Item]], trigger: Trigger
    ) -> CompletionItems[Item] | None:
        settings = self._settings.current.inline_completion
        document = self._documents.for_model(uri)
        if document.is_notebook_json or not settings.is_enabled_in(document.language):
            return CompletionItems([], is_enabled=False)
        text, conversion = document.text, convert(document)
        cursor = await self._collect_context(document, conversion.cursor)
        if not self._documents.is_unchanged(document, text):
            return None
        completer, is_invoked = self._completers.get(uri), trigger is Trigger.INVOKED
        if is_invoked or _may_generate(settings, trigger, cursor):
            candidates = settings.candidates if is_invoked else 1
            suggestions = await _suggest(completer, engine, cursor, settings, candidates)
        else:
            suggestions = completer.recall(engine, cursor, settings)
        if not self._documents.is_unchanged(document, text):
            return None
        min_chars = 0 if is_invoked else settings.min_chars
        suggestions = [found for found in suggestions if found.typed_chars + len(found.text.strip()) >= min_chars]
        keys = self._feedback.offer(cursor, suggestions, is_invoked)
        if keys is None:
            return CompletionItems([])
        items = map(conversion.item, suggestions, keys)
        return CompletionItems([item for item in items if item is not None])


async def _suggest(
    completer: DocumentCompleter, engine: Engine, cursor: Cursor, settings: InlineCompletion, candidates: int
) -> list[Suggestion]:
    """As ``DocumentCompleter.suggest``; with another prompt if another model answers since the server was lost."""
    model = engine.status().model
    try:
        return await completer.suggest(engine, cursor, settings, candidates)
    except (EngineUnreachable, EngineBusy):
        if engine.status().model == model:
            raise
        return await completer.suggest(engine, cursor, settings, candidates)


def _may_generate(settings: InlineCompletion, trigger: Trigger, cursor: Cursor) -> bool:
    """Whether the settings allow a new suggestion at ``cursor`` that the user has not invoked."""
    if trigger is Trigger.AUTOMATIC and settings.trigger == "manual":
        return False
    return not settings.excluded_regions or _REGIONS.get(cursor.region) not in settings.excluded_regions
