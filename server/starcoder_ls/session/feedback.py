"""Feedback of one client on its suggestions: shown, accepted, rejected, and how much of an accepted one was kept.

Decides which suggestion a message is about, when one counts as rejected, and how much text is recorded.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher

from lsprotocol import types as t

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.context import secrets
from starcoder_ls.errors import DocumentError
from starcoder_ls.feedback_store import FeedbackStore, ShownSuggestion
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session.client_settings import ClientSettings

ACCEPTED = "starcoder.accepted"
"""The command of each completion item, which the client runs after it has inserted the item (LSP)."""

RETENTION_CHECK_S = 30.0
"""When an accepted suggestion is compared with the document, to see how much of it was kept."""
_MAX_OFFERS, _MAX_CHECKS = 64, 256
_EXCERPT_CHARS = 1000
_ANCHOR_CHARS = 60
_MIN_MATCH_CHARS = 3  # shorter matches are accidental


CallLater = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


@dataclass(slots=True)
class _Offer:
    """A suggestion that was sent to the client and has had no outcome yet."""

    uri: str
    start: int
    text: str
    row: ShownSuggestion
    anchor: str
    """The text before it, to find it again."""
    is_shown: bool = False
    previously_accepted_chars: int = 0
    """Accepted of the suggestion of which this is the rest."""
    accepted_chars: int = 0


class Feedback:
    """Of one client. With ``feedback.keep`` "nothing", nothing is recorded and no item carries a command.

    ``call_later`` replaces that of the event loop in tests.
    """

    def __init__(
        self,
        settings: ClientSettings,
        documents: Documents,
        model_name: Callable[[], str],
        call_later: CallLater | None = None,
    ) -> None:
        self._settings, self._documents, self._model_name = settings, documents, model_name
        self._call_later = call_later or (lambda *timer: asyncio.get_running_loop().call_later(*timer))
        self._offers: OrderedDict[str, _Offer] = OrderedDict()
        self._checks: dict[str, asyncio.TimerHandle] = {}
        self._opened_store: FeedbackStore | None = None

    def offer(self, cursor: Cursor, suggestions: list[Suggestion]) -> list[t.Command | None]:
        """Register ``suggestions``, the result of one request, and return the command for each.

        The rest of a suggestion that is being typed counts as the same suggestion; any other one that was shown in this
        document counts as rejected.
        """
        keep = self._settings.current.feedback.keep
        if keep == "nothing":
            return [None for _ in suggestions]
        earlier = [(key, offer) for key, offer in self._offers.items() if offer.uri == cursor.document]
        keys = []
        for suggestion in suggestions:
            continued = next((key for key, offer in earlier if _is_rest(suggestion, offer)), None)
            key = continued or str(uuid.uuid4())
            offer = self._create_offer(cursor, suggestion, key, has_text=keep == "text")
            if continued:
                previous = self._offers[continued]
                offer.is_shown, offer.row = previous.is_shown, previous.row
                offer.previously_accepted_chars = offer.accepted_chars = previous.accepted_chars
            self._offers[key] = offer
            self._offers.move_to_end(key)
            keys.append(key)
        for key, offer in earlier:
            if key not in keys:
                self._reject(key, offer)
        while len(self._offers) > _MAX_OFFERS:
            self._offers.popitem(last=False)
        return [t.Command(title="Accepted", command=ACCEPTED, arguments=[{"id": key}]) for key in keys]

    def on_shown(self, key: str) -> None:
        offer = self._offers.get(key)
        if offer is not None and not offer.is_shown:
            offer.is_shown = True
            self._store().record_shown(offer.row)

    def on_partly_accepted(self, key: str, accepted_units: int) -> None:
        """``accepted_units``: how much of the item's text was accepted so far, in UTF-16 units, as Copilot counts."""
        offer = self._offers.get(key)
        if offer is None:
            return
        self.on_shown(key)
        accepted = offer.text.encode("utf-16-le")[: 2 * max(accepted_units, 0)]
        offer.accepted_chars = offer.previously_accepted_chars + len(accepted.decode("utf-16-le", "ignore"))
        self._store().record_outcome(key, "partly", offer.accepted_chars)

    def on_accepted(self, key: str) -> None:
        """The whole suggestion was inserted; after RETENTION_CHECK_S the document is compared with it."""
        offer = self._offers.pop(key, None)
        if offer is None:
            return
        if not offer.is_shown:
            self._store().record_shown(offer.row)
        self._store().record_outcome(key, "accepted", offer.row.chars)
        if len(self._checks) < _MAX_CHECKS:
            self._checks[key] = self._call_later(RETENTION_CHECK_S, lambda: self._record_retention(key, offer))

    def on_document_closed(self, uri: str) -> None:
        """Suggestions that were shown in the document count as rejected."""
        for key, offer in [(key, offer) for key, offer in self._offers.items() if offer.uri == uri]:
            self._reject(key, offer)

    def close(self) -> None:
        for check in self._checks.values():
            check.cancel()
        if self._opened_store is not None:
            self._opened_store.close()

    def _create_offer(self, cursor: Cursor, suggestion: Suggestion, key: str, has_text: bool) -> _Offer:
        excerpt = None
        if has_text:
            before = secrets.mask_secrets_in_range(
                cursor.text, max(0, suggestion.start - _EXCERPT_CHARS), suggestion.start
            )
            after_end = min(suggestion.end + _EXCERPT_CHARS, len(cursor.text))
            after = secrets.mask_secrets_in_range(cursor.text, suggestion.end, after_end)
            excerpt = before, after, secrets.mask_secrets(suggestion.text)
        model = self._model_name()
        lines = suggestion.text.count("\n") + 1
        source = str(suggestion.source)
        row = ShownSuggestion(key, cursor.language, model, cursor.adapter, source, len(suggestion.text), lines, excerpt)
        anchor = cursor.text[max(0, suggestion.start - _ANCHOR_CHARS) : suggestion.start]
        return _Offer(cursor.document, suggestion.start, suggestion.text, row, anchor)

    def _reject(self, key: str, offer: _Offer) -> None:
        """Forget the offer; record a rejection if it was shown and nothing of it accepted."""
        del self._offers[key]
        if offer.is_shown and not offer.accepted_chars:
            self._store().record_outcome(key, "rejected")

    def _record_retention(self, key: str, offer: _Offer) -> None:
        del self._checks[key]
        try:
            text = self._documents.for_model(offer.uri).text
        except DocumentError:  # closed or excluded since: unknown
            return
        self._store().record_kept_percent(key, retained_percent(offer.text, offer.anchor, offer.start, text))

    def _store(self) -> FeedbackStore:
        if self._opened_store is None:
            self._opened_store = FeedbackStore(keep_days=self._settings.current.feedback.keep_days)
        return self._opened_store


def retained_percent(accepted: str, anchor: str, start: int, text: str) -> int:
    """How much of ``accepted`` is still in ``text`` near where it was inserted: after ``anchor``, else at ``start``.

    Counts characters in matching runs; blanks at line ends and the kind of line ends are ignored.
    """
    found = text.find(anchor, max(0, start - 4 * _EXCERPT_CHARS)) if anchor.strip() else -1
    begin = found + len(anchor) if found >= 0 else start
    expected = "\n".join(accepted.split("\n")).strip()
    nearby = "\n".join(line.rstrip() for line in text[begin : begin + 2 * len(accepted) + _ANCHOR_CHARS].splitlines())
    blocks = SequenceMatcher(None, expected, nearby, autojunk=False).get_matching_blocks()
    matching = sum(block.size for block in blocks if block.size >= min(_MIN_MATCH_CHARS, len(expected)))
    return round(100 * matching / max(len(expected), 1))


def suggestion_key(params: object) -> str | None:
    """The key of the suggestion whose item is in ``params``, from its command; None if it is not one of this server."""
    try:
        key = params["item"]["command"]["arguments"][0]["id"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return None
    return key if isinstance(key, str) else None


def _is_rest(suggestion: Suggestion, offer: _Offer) -> bool:
    """Whether ``suggestion`` is what remains of ``offer`` after the user has typed its beginning."""
    typed = suggestion.start - offer.start
    return 0 <= typed < len(offer.text) and suggestion.text == offer.text[typed:]
