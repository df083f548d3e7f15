"""What a client says of the suggestions it was given, and what becomes of those it accepted.

Decides which suggestion a message is about, when one counts as rejected, and how much of one was kept. Refuses to
know how it is written down.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from lsprotocol import types as t

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.context import secrets
from starcoder_ls.errors import DocumentError, DocumentExcluded
from starcoder_ls.feedback_store import FeedbackStore, ShownSuggestion

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

ACCEPTED = "starcoder.accepted"
"""The command that each item carries, as LSP has it: a client runs it once the item is inserted."""

KEPT_AFTER_S = 30.0
_MOST_OFFERS = 64
_EXCERPT_CHARS = 1000
_ANCHOR_CHARS = 60
_LEAST_RUN_CHARS = 3  # shorter runs agree by chance


@dataclass(slots=True)
class _Offer:
    """A suggestion that a client was given and may speak of."""

    uri: str
    start: int
    text: str
    row: ShownSuggestion
    anchor: str
    """What stood before it, to find it again."""
    is_shown: bool = False
    begun_chars: int = 0
    """Accepted of the suggestion of which this is the rest."""
    accepted_chars: int = 0


class Feedback:
    """Of one client. Nothing is written, and no item carries a command, where the settings say so."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._offers: OrderedDict[str, _Offer] = OrderedDict()
        self._checks: set[asyncio.TimerHandle] = set()
        self._journal: FeedbackStore | None = None

    def offered(self, cursor: Cursor, suggestions: list[Suggestion]) -> list[t.Command | None]:
        """A command for each of ``suggestions``, which the client is about to be given for one request.

        What is left of a suggestion that is being typed is the same suggestion; any other that was shown in this
        document is rejected by now.
        """
        keep = self._session.settings.feedback.keep
        if keep == "nothing":
            return [None for _ in suggestions]
        older = [(key, offer) for key, offer in self._offers.items() if offer.uri == cursor.document]
        keys = []
        for suggestion in suggestions:
            carried = next((key for key, offer in older if _is_rest(suggestion, offer)), None)
            key = carried or str(uuid.uuid4())
            offer = self._offer(cursor, suggestion, key, has_text=keep == "text")
            if carried:
                begun = self._offers[carried]
                offer.is_shown, offer.row = begun.is_shown, begun.row
                offer.begun_chars = offer.accepted_chars = begun.accepted_chars
            self._offers[key] = offer
            self._offers.move_to_end(key)
            keys.append(key)
        for key, offer in older:
            if key not in keys:
                self._let_go(key, offer)
        while len(self._offers) > _MOST_OFFERS:
            self._offers.popitem(last=False)
        return [t.Command(title="Accepted", command=ACCEPTED, arguments=[{"id": key}]) for key in keys]

    def shown(self, key: str) -> None:
        offer = self._offers.get(key)
        if offer is not None and not offer.is_shown:
            offer.is_shown = True
            self._written().record_shown(offer.row)

    def partly(self, key: str, accepted_units: int) -> None:
        """``accepted_units``: how much of the item's text was accepted so far, in UTF-16 units, as Copilot counts."""
        offer = self._offers.get(key)
        if offer is None:
            return
        self.shown(key)
        units = offer.text.encode("utf-16-le")[: 2 * max(accepted_units, 0)]
        offer.accepted_chars = offer.begun_chars + len(units.decode("utf-16-le", "ignore"))
        self._written().record_outcome(key, "partly", offer.accepted_chars)

    def accepted(self, key: str) -> None:
        """All of it was inserted; half a minute later we look what is left."""
        offer = self._offers.pop(key, None)
        if offer is None:
            return
        if not offer.is_shown:
            self._written().record_shown(offer.row)
        self._written().record_outcome(key, "accepted", offer.row.chars)
        self._checks = {handle for handle in self._checks if not handle.cancelled() and handle.when() > _now()}
        self._checks.add(asyncio.get_running_loop().call_later(KEPT_AFTER_S, self._check, key, offer))

    def closed(self, uri: str) -> None:
        """Whatever was shown there was not wanted."""
        for key, offer in [(key, offer) for key, offer in self._offers.items() if offer.uri == uri]:
            self._let_go(key, offer)

    def close(self) -> None:
        for handle in self._checks:
            handle.cancel()
        if self._journal is not None:
            self._journal.close()

    def _offer(self, cursor: Cursor, suggestion: Suggestion, key: str, has_text: bool) -> _Offer:
        excerpt = None
        if has_text:
            seen = secrets.masked_part(cursor.text, max(0, suggestion.start - _EXCERPT_CHARS), suggestion.start)
            below = secrets.masked_part(
                cursor.text, suggestion.end, min(suggestion.end + _EXCERPT_CHARS, len(cursor.text))
            )
            excerpt = seen, below, suggestion.text
        model = self._session.supervisor.status().model
        lines = suggestion.text.count("\n") + 1
        source = str(suggestion.source)
        row = ShownSuggestion(key, cursor.language, model, cursor.adapter, source, len(suggestion.text), lines, excerpt)
        anchor = cursor.text[max(0, suggestion.start - _ANCHOR_CHARS) : suggestion.start]
        return _Offer(cursor.document, suggestion.start, suggestion.text, row, anchor)

    def _let_go(self, key: str, offer: _Offer) -> None:
        del self._offers[key]
        if offer.is_shown and not offer.accepted_chars:
            self._written().record_outcome(key, "rejected")

    def _check(self, key: str, offer: _Offer) -> None:
        try:
            text = self._session.documents.readable(offer.uri).text
        except (DocumentError, DocumentExcluded):  # closed meanwhile: nobody knows
            return
        self._written().record_kept_percent(key, kept_percent(offer.text, offer.anchor, offer.start, text))

    def _written(self) -> FeedbackStore:
        if self._journal is None:
            self._journal = FeedbackStore(keep_days=self._session.settings.feedback.keep_days)
        return self._journal


def kept_percent(accepted: str, anchor: str, start: int, text: str) -> int:
    """How much of ``accepted`` is in ``text`` still, near where it was inserted: behind ``anchor``, else at ``start``.

    Counted in runs of characters, without blanks at line ends and line ends of another kind.
    """
    place = text.find(anchor, max(0, start - 4 * _EXCERPT_CHARS)) if anchor.strip() else -1
    begin = place + len(anchor) if place >= 0 else start
    wanted = "\n".join(accepted.split("\n")).strip()
    near = "\n".join(line.rstrip() for line in text[begin : begin + 2 * len(accepted) + _ANCHOR_CHARS].splitlines())
    blocks = SequenceMatcher(None, wanted, near, autojunk=False).get_matching_blocks()
    kept = sum(block.size for block in blocks if block.size >= min(_LEAST_RUN_CHARS, len(wanted)))
    return round(100 * kept / max(len(wanted), 1))


def key_of(params: object) -> str | None:
    """The suggestion that the item in ``params`` stands for, by its command; None where there is none of ours."""
    try:
        key = params["item"]["command"]["arguments"][0]["id"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return None
    return key if isinstance(key, str) else None


def _is_rest(suggestion: Suggestion, offer: _Offer) -> bool:
    typed = suggestion.start - offer.start
    return 0 <= typed < len(offer.text) and suggestion.text == offer.text[typed:]


def _now() -> float:
    return asyncio.get_running_loop().time()
