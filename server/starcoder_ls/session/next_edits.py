"""Next edits for one client: which one is offered, and what became of the earlier ones.

Decides that an edit is not offered again where the user has accepted it, dismissed it, or left it three times; and
that no line has an edit and a completion at the same time.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.errors import DocumentError
from starcoder_ls.lsp.documents.applied_edit import AppliedEdit
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.next_edit.mechanical import OpenText, find_next_edits
from starcoder_ls.next_edit.token_changes import Replacement
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.model_edits import ModelEdits
from starcoder_ls.session.tracked_ranges import TrackedRange, TrackedRanges

EDIT_ACCEPTED, EDIT_DISMISSED = "starcoder.editAccepted", "starcoder.editDismissed"

_MAX_OFFERS, _MAX_CLOSED = 16, 128
_MAX_TIMES = 3
"""An offer that the user has left so often counts as dismissed: most clients do not report that."""


@dataclass(slots=True)
class Offer:
    """An edit that was sent to the client. ``version`` is that of the document when it was sent last."""

    key: str
    uri: str
    version: int
    replacement: Replacement
    position: TrackedRange
    times: int = 1
    is_shown: bool = False

    def is_at(self, replacement: Replacement) -> bool:
        """Whether ``replacement`` is the same change at the same position of the document now."""
        same_text = (replacement.old, replacement.text) == (self.replacement.old, self.replacement.text)
        start = self.position.start
        return same_text and not self.position.is_lost and start <= replacement.start <= self.position.end


class NextEdits:
    """``recent_edits`` returns the edits that may be read, newest first. They are searched in a thread.

    ``model_edits`` is the second source: for what does not follow from the recent edits with certainty.
    """

    def __init__(
        self,
        settings: ClientSettings,
        documents: Documents,
        recent_edits: Callable[[], list[RecentEdit]],
        model_edits: ModelEdits,
    ) -> None:
        self._settings, self._documents, self._recent_edits = settings, documents, recent_edits
        self._model_edits = model_edits
        self._ranges = TrackedRanges()
        documents.edit_listeners.append(self._on_edit)
        self._offers: OrderedDict[str, Offer] = OrderedDict()
        self._closed: deque[Offer] = deque(maxlen=_MAX_CLOSED)
        self._completion: tuple[str, int, int] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._searching = asyncio.Lock()

    async def find(self, document: Document, cursor: int) -> Offer | None:
        """The edit to offer while the cursor is at an offset of ``document``; None if there is none."""
        text = document.text
        self._close_accepted(document)
        edits = self._recent_edits()
        if not edits or not self._settings.current.inline_completion.is_enabled_in(document.language):
            return None
        async with self._searching:
            if not self._documents.is_unchanged(document, text):
                return None
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, "next-edits")
            opened = OpenText(document.uri, document.language, text, document.path)
            found = await asyncio.get_running_loop().run_in_executor(
                self._executor, find_next_edits, opened, cursor, edits, self._other_texts(document, edits)
            )
        if not self._documents.is_unchanged(document, text):
            return None
        offer = next((offer for each in found if (offer := self._offer(document, each)) is not None), None)
        if offer is not None:
            return offer
        proposed = await self._model_edits.find(opened, cursor, edits, self._executor)
        if proposed is None or not self._documents.is_unchanged(document, text):
            return None
        return self._offer(document, proposed)

    def _on_edit(self, uri: str, edit: AppliedEdit | None) -> None:
        self._ranges.on_edit(uri, edit)
        self._model_edits.cancel()

    def on_completion(self, document: Document, line: int) -> None:
        """Completions were sent for a cursor on ``line``."""
        self._completion = (document.uri, document.version, line)

    def is_shown_on(self, document: Document, line: int) -> bool:
        """Whether the client shows an edit on ``line`` of the current text."""
        return any(
            offer.is_shown
            and (offer.uri, offer.version) == (document.uri, document.version)
            and line in self._lines(document, offer.replacement)
            for offer in self._offers.values()
        )

    def on_shown(self, key: str) -> None:
        if key in self._offers:
            self._offers[key].is_shown = True

    def on_accepted(self, key: str) -> None:
        """The client has applied the edit. It is not offered there again, even if the user takes it back."""
        self._close(key)

    def on_dismissed(self, key: str) -> None:
        """The user does not want the edit."""
        self._close(key)

    def on_document_closed(self, uri: str) -> None:
        self._ranges.discard(uri)
        for key in [key for key, offer in self._offers.items() if offer.uri == uri]:
            del self._offers[key]

    def close(self) -> None:
        """The client is gone."""
        self._model_edits.cancel()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def _other_texts(self, document: Document, edits: list[RecentEdit]) -> dict[str, OpenText]:
        texts: dict[str, OpenText] = {}
        for uri in {edit.uri for edit in edits if edit.start is not None} - {document.uri}:
            try:
                other = self._documents.for_model(uri)
            except DocumentError:
                continue
            texts[uri] = OpenText(uri, other.language, other.text)
        return texts

    def _offer(self, document: Document, replacement: Replacement) -> Offer | None:
        """An offer of ``replacement``, or the earlier one of it; None if it must not be offered."""
        if any(closed.uri == document.uri and closed.is_at(replacement) for closed in self._closed):
            return None
        if any(
            (document.uri, document.version, line) == self._completion for line in self._lines(document, replacement)
        ):
            return None
        earlier = next(
            (each for each in self._offers.values() if each.uri == document.uri and each.is_at(replacement)), None
        )
        if earlier is not None:
            earlier.times += earlier.version != document.version
            if earlier.times > _MAX_TIMES:
                self._close(earlier.key)
                return None
            earlier.version, earlier.replacement, earlier.is_shown = document.version, replacement, False
            return earlier
        position = self._ranges.track(document.uri, replacement.start, replacement.end)
        offer = Offer(str(uuid.uuid4()), document.uri, document.version, replacement, position)
        self._offers[offer.key] = offer
        while len(self._offers) > _MAX_OFFERS:
            self._offers.popitem(last=False)
        return offer

    def _close_accepted(self, document: Document) -> None:
        """Close the offers that were applied: not every client runs their command."""
        for key, offer in list(self._offers.items()):
            written = document.text[offer.position.start : offer.position.end]
            if offer.uri == document.uri and not offer.position.is_lost and written == offer.replacement.text:
                self._close(key)

    def _close(self, key: str) -> None:
        offer = self._offers.pop(key, None)
        if offer is not None:
            self._closed.append(offer)

    def _lines(self, document: Document, replacement: Replacement) -> range:
        first = document.position_at(min(replacement.start, len(document.text))).line
        return range(first, document.position_at(min(replacement.end, len(document.text))).line + 1)
