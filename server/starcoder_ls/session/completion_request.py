"""The flow that both completion methods share: from an editor's request to items with the commands of feedback.

Decides when a request is not answered: it was superseded, the client is behind in reading, no engine is ready, or the
text has changed since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from lsprotocol import types as t

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.request_handle import RequestHandle

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

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


async def complete(
    session: Session,
    method: str,
    uri: str,
    handle: RequestHandle,
    convert: Callable[[Document], Conversion[Item]],
    has_several: bool = False,
    engine_timeout_s: float = 0.0,
) -> CompletionItems[Item] | None:
    """The items for a request of ``method``; None if it is not to be answered.

    Asks for as many suggestions as the settings say if ``has_several``, else for one. Waits ``engine_timeout_s`` for an
    engine that is loading. Raises DocumentError, and what ``convert`` and ``DocumentCompleter.suggest`` raise.
    """
    is_latest = await session.is_latest(method, uri, handle)
    settings = session.settings.inline_completion
    if not is_latest or session.is_behind:
        return None
    engine = session.supervisor.ready_engine() or await session.supervisor.wait_until_ready(engine_timeout_s)
    if engine is None:
        return None
    document = session.documents.readable(uri)
    if not settings.is_wanted_in(document.language):
        return CompletionItems([], is_enabled=False)
    text, conversion = document.text, convert(document)
    candidates = settings.candidates if has_several else 1
    suggestions = await session.desk(uri).suggest(engine, conversion.cursor, settings, candidates)
    if not session.documents.is_still(document, text):
        return None
    commands = session.feedback.offered(conversion.cursor, suggestions)
    items = map(conversion.item, suggestions, commands)
    return CompletionItems([item for item in items if item is not None])
