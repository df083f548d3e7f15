"""Feedback of one client on its suggestions: shown, accepted, rejected, and what stood there later.

Decides which suggestion a message is about, when one counts as rejected, and which ones are hidden because they would
probably not be kept.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.completion.suggestion_features import describe_suggestion
from starcoder_ls.feedback_store.rows import Outcome
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.follow_ups import LAST_DELAY_S, CallLater, FollowedSuggestion, FollowUps, Observation
from starcoder_ls.session.promotion_monitor import PromotionMonitor
from starcoder_ls.session.show_filter import ShowFilter
from starcoder_ls.session.suggestion_record import build_record
from starcoder_ls.session.tracked_ranges import TrackedRanges

ACCEPTED = "starcoder.accepted"
"""The command of each completion item, which the client runs after it has inserted the item (LSP)."""

_MAX_OFFERS = 64


@dataclass(slots=True)
class _Offer:
    """A suggestion that was sent to the client and has had no outcome yet."""

    uri: str
    start: int
    text: str
    row: ShownSuggestion
    """As it was offered first; ``text`` may be the rest of it."""
    followed: FollowedSuggestion
    is_hidden: bool = False
    is_shown: bool = False
    previously_accepted_chars: int = 0
    """Accepted of the suggestion of which this is the rest."""
    accepted_chars: int = 0

    def typed_chars(self, suggestion: Suggestion) -> int | None:
        """How much of this offer the user has typed if ``suggestion`` is the rest of it; else None."""
        typed = suggestion.start - self.start
        return typed if 0 <= typed < len(self.text) and suggestion.text == self.text[typed:] else None


class Feedback:
    """Of one client. With ``feedback.keep`` "nothing", nothing is recorded and no item carries a command.

    ``warn`` shows a message to the user. ``call_later`` replaces that of the event loop in tests.
    """

    def __init__(
        self,
        settings: ClientSettings,
        documents: Documents,
        model_name: Callable[[], str],
        warn: Callable[[str], None],
        call_later: CallLater | None = None,
    ) -> None:
        self._settings, self._documents, self._model_name = settings, documents, model_name
        call_later = call_later or (lambda *timer: asyncio.get_running_loop().call_later(*timer))
        self._follow_ups = FollowUps(documents, self._record_observation, call_later)
        self._ranges = TrackedRanges()
        documents.edit_listeners.append(self._ranges.on_edit)
        self._offers: OrderedDict[str, _Offer] = OrderedDict()
        self._opened_store: FeedbackStore | None = None
        self._show_filter = ShowFilter(lambda count: self._store().read_newest(count))
        self._promotion_monitor = PromotionMonitor(lambda count: self._store().read_newest(count), warn)

    def on_settings_changed(self) -> None:
        """Offers that were made before are treated as the settings say now: forgotten, or recorded without texts."""
        keep = self._settings.current.feedback.keep
        if keep == "nothing":
            self._offers.clear()
            self._follow_ups.close()
        elif keep != "text":
            for offer in self._offers.values():
                offer.row = replace(offer.row, texts=None)

    def offer(self, cursor: Cursor, suggestions: list[Suggestion], is_invoked: bool = False) -> list[str | None] | None:
        """Register ``suggestions``, the result of one request, and return the key of each; None to hide them.

        A key is None if nothing is recorded; else it belongs into the item's command: ``accepted_command``.

        The rest of a suggestion that is being typed counts as the same suggestion; any other one that was shown in this
        document counts as rejected. ``is_invoked``: the user asked for suggestions explicitly; these are never hidden.
        """
        if self._settings.current.feedback.keep == "nothing":
            return [None for _ in suggestions]
        earlier = {key: offer for key, offer in self._offers.items() if offer.uri == cursor.document}
        keys: list[str] = []
        for candidate, suggestion in enumerate(suggestions):
            key = next((key for key, offer in earlier.items() if offer.typed_chars(suggestion) is not None), None)
            if key is None or earlier[key].is_hidden:
                offer = self._create_offer(cursor, suggestion, keys[0] if keys else None, candidate, is_invoked)
                key = self._add_offer(offer, key)
            else:
                self._continue_offer(earlier[key], suggestion.start, suggestion.text)
            self._offers.move_to_end(key)
            keys.append(key)
        for key, offer in earlier.items():
            if key not in keys:
                self._conclude(key, offer, "rejected")
        while len(self._offers) > _MAX_OFFERS:
            self._offers.popitem(last=False)
        if any(self._offers[key].is_hidden for key in keys):
            return None
        return list(keys)

    def on_shown(self, key: str) -> None:
        offer = self._offers.get(key)
        if offer is not None and not offer.is_shown:
            self._record_shown(offer)
            self._follow_ups.start(offer.followed)

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
        """The whole suggestion was inserted; later the document is compared with it."""
        offer = self._offers.pop(key, None)
        if offer is None:
            return
        if not offer.is_shown:
            self._record_shown(offer)
        self._store().record_outcome(key, "accepted", offer.row.chars)
        self._on_outcome(is_accepted=True)
        self._follow_ups.start(offer.followed, is_accepted=True)

    def on_document_closed(self, uri: str) -> None:
        """What was shown in the document has the outcome "closed", which says nothing about the suggestion."""
        self._follow_ups.discard(uri)
        self._ranges.discard(uri)
        for key, offer in [(key, offer) for key, offer in self._offers.items() if offer.uri == uri]:
            self._conclude(key, offer, "closed")

    def close(self) -> None:
        """The client is gone."""
        self._follow_ups.close()
        for key, offer in list(self._offers.items()):
            self._conclude(key, offer, "closed")
        if self._opened_store is not None:
            self._opened_store.close_in_background()

    def _create_offer(
        self, cursor: Cursor, suggestion: Suggestion, request: str | None, candidate: int, is_invoked: bool
    ) -> _Offer:
        """``request`` is the key of the first candidate; None for the first one."""
        key, settings, model = str(uuid.uuid4()), self._settings.current, self._model_name()
        uri, start = cursor.document, suggestion.start
        features = describe_suggestion(cursor, suggestion, is_invoked)
        features["recent"] = round(self._show_filter.recent_acceptance, 3)
        show_from = settings.inline_completion.show_from
        probability = self._show_filter.probability(features) if show_from else None
        row = build_record(
            cursor, suggestion, settings, key=key, request=request or key, candidate=candidate, model=model,
            features=features, probability=probability,
        )  # fmt: skip
        tracked = self._ranges.track(uri, start, suggestion.end)
        # While a menu is open, the cursor's text has its selected entry, which the document has not.
        if self._documents.get(uri).text != cursor.text:
            tracked.lose()
        followed = FollowedSuggestion.at(key, uri, suggestion.text, start, cursor.text, tracked)
        is_hidden = probability is not None and probability < show_from and not is_invoked
        return _Offer(uri, start, suggestion.text, row, followed, is_hidden)

    def _add_offer(self, offer: _Offer, hidden_key: str | None) -> str:
        """The key of ``offer``, or ``hidden_key`` if it is the rest of that suggestion and stays hidden.

        If it becomes visible, it is a suggestion of its own: what becomes of the hidden one is an outcome too.
        """
        if offer.is_hidden and hidden_key is not None:
            self._continue_offer(self._offers[hidden_key], offer.start, offer.text)
            return hidden_key
        key = offer.row.id
        self._offers[key] = offer
        if offer.is_hidden:
            self._store().record_shown(offer.row, "hidden")
            self._show_filter.on_hidden()
            self._follow_ups.start(offer.followed)
        return key

    def _continue_offer(self, offer: _Offer, start: int, text: str) -> None:
        """What is left of ``offer`` is ``text``, at ``start``."""
        offer.start, offer.text = start, text
        offer.previously_accepted_chars = offer.accepted_chars

    def _conclude(self, key: str, offer: _Offer, outcome: Outcome) -> None:
        """Forget the offer; record ``outcome`` if it was shown and nothing of it accepted."""
        del self._offers[key]
        if offer.is_shown and not offer.accepted_chars:
            self._store().record_outcome(key, outcome)
        if offer.is_shown and outcome == "rejected":
            self._on_outcome(bool(offer.accepted_chars))

    def _on_outcome(self, is_accepted: bool) -> None:
        self._show_filter.on_outcome(is_accepted)
        self._promotion_monitor.on_outcome()

    def _record_shown(self, offer: _Offer) -> None:
        offer.is_shown = True
        self._store().record_shown(offer.row)

    def _record_observation(self, observation: Observation) -> None:
        key, has_text = observation.suggestion.key, self._settings.current.feedback.keep == "text"
        if has_text and (written := observation.written()) is not None:
            self._store().record_text(key, observation.delay_s, written)
        if observation.delay_s == LAST_DELAY_S:
            percent = observation.match_percent()
            self._store().record_match_percent(key, percent)
            if observation.is_accepted:
                self._store().record_kept_percent(key, percent)

    def _store(self) -> FeedbackStore:
        if self._opened_store is None:
            self._opened_store = FeedbackStore(keep_days=self._settings.current.feedback.keep_days)
        return self._opened_store


def accepted_command(key: str | None) -> dict[str, Any] | None:
    """LSP's ``Command`` for an item of the suggestion ``key`` as a JSON value; None without a key."""
    return None if key is None else {"title": "Accepted", "command": ACCEPTED, "arguments": [{"id": key}]}


def suggestion_key(params: object) -> str | None:
    """The key of the suggestion whose item is in ``params``, from its command; None if it is not one of this server."""
    try:
        key = params["item"]["command"]["arguments"][0]["id"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        return None
    return key if isinstance(key, str) else None
