"""Decides which suggestions of one client are shown: those that will be kept with a certain probability.

The model is fitted to the outcomes in the feedback store, in the store's thread, and again after every 50 outcomes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from starcoder_ls.completion.show_model import MAX_EXAMPLES, Example, ShowModel, fit_show_model
from starcoder_ls.completion.suggestion_features import Features
from starcoder_ls.feedback_store.rows import FeedbackRow

logger = logging.getLogger(__name__)

ReadNewest = Callable[[int], "Future[list[FeedbackRow]]"]

_OUTCOMES_BETWEEN_FITS = 50
_RECENT_SHARE = 0.1  # of the newest outcome in the moving average
_FIRST_RECENT = 0.3


class ShowFilter:
    """``read_newest`` is that of the feedback store. Until the first model is fitted, there are no probabilities."""

    def __init__(self, read_newest: ReadNewest) -> None:
        self._read_newest = read_newest
        self._model: ShowModel | None = None
        self._outcomes_to_next_fit = 0
        self.recent_acceptance = _FIRST_RECENT
        """A moving average over the outcomes of this session, from 0 to 1."""

    def on_outcome(self, is_accepted: bool) -> None:
        """A suggestion that was shown was accepted or rejected."""
        self._outcomes_to_next_fit -= 1
        self.recent_acceptance += _RECENT_SHARE * (is_accepted - self.recent_acceptance)

    def on_hidden(self) -> None:
        """A suggestion was hidden; whether it would have been kept is an outcome too."""
        self._outcomes_to_next_fit -= 1

    def probability(self, features: Features) -> float | None:
        """The probability that a suggestion will be kept; None if there is no model (yet).

        Starts a fit if one is due.
        """
        if self._outcomes_to_next_fit <= 0:
            self._outcomes_to_next_fit = _OUTCOMES_BETWEEN_FITS
            self._read_newest(2 * MAX_EXAMPLES).add_done_callback(self._fit)
        model = self._model
        return None if model is None else round(model.probability(features), 4)

    def _fit(self, rows: Future[list[FeedbackRow]]) -> None:
        """In the thread of the store."""
        try:
            self._model = fit_show_model(training_examples(rows.result()))
        except (ArithmeticError, ValueError) as error:  # such as a singular matrix: everything is shown
            self._model = None
            logger.warning("The outcomes of suggestions could not be fitted (%s). All suggestions are shown.", error)


def training_examples(rows: Sequence[FeedbackRow]) -> list[Example]:
    """The features and outcomes of ``rows`` that were offered while typing and whose outcome is known."""
    examples: list[Example] = []
    for row in rows:
        features, is_kept = row.parsed_features, row.is_kept
        if features is not None and is_kept is not None and not features.get("is_invoked"):
            examples.append((features, is_kept))
    return examples
