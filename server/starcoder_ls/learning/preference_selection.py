"""From the feedback store to preferences: what a user wrote over what was rejected, and suggestions that were judged.

Decides which outcomes say something: ties, texts that are nearly equal, small differences and short texts are left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from starcoder_ls.completion.anchor import normalize_line_ends
from starcoder_ls.context import secrets
from starcoder_ls.feedback_store.rows import FeedbackRow

_MAX_COMPARED_CHARS = 2_000  # the comparison is quadratic


@dataclass(frozen=True, slots=True)
class Filters:
    """Which outcomes are used. Lengths are without blanks at both ends."""

    min_chars: int = 4
    min_margin: float = 0.15
    """Two texts must differ by this share of their characters."""
    kept_percent: int = 90
    """An accepted suggestion of which at least so much was kept is desirable."""
    dropped_percent: int = 25
    """A suggestion of which at most so much stands there is undesirable."""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """``chosen`` and ``rejected`` between the texts ``prefix`` and ``suffix``.

    ``group``: a hash of the file, the same for all of its pairs, so that they can be held out together. ``margin``:
    by which share of their characters the texts differ.
    """

    prefix: str
    suffix: str
    chosen: str
    rejected: str
    group: str
    margin: float


@dataclass(frozen=True, slots=True)
class JudgedSuggestion:
    """``text`` between ``prefix`` and ``suffix`` was kept by the user, or not. ``group`` as in ``PreferencePair``."""

    prefix: str
    suffix: str
    text: str
    is_desirable: bool
    group: str


@dataclass(slots=True)
class Preferences:
    """What was selected, without repetitions, and the number of rows that were left out for each reason."""

    pairs: list[PreferencePair] = field(default_factory=list)
    judged: list[JudgedSuggestion] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def select_preferences(rows: Sequence[FeedbackRow], filters: Filters = Filters()) -> Preferences:
    """The preferences in ``rows``, in their order. Rows without text, from before it was allowed, are left out."""
    selected = Preferences()
    usable = [row for row in rows if _is_usable(row, selected.left_out)]
    accepted: defaultdict[tuple[str | None, str | None, str | None], list[FeedbackRow]] = defaultdict(list)
    for row in usable:
        if row.outcome == "accepted" and (row.kept_percent or 0) >= filters.kept_percent:
            accepted[row.path_hash, row.prefix, row.suffix].append(row)
    for row in usable:
        _judge(row, filters, selected)
        if row.outcome != "rejected":
            continue
        others = [other.suggestion or "" for other in accepted[row.path_hash, row.prefix, row.suffix]]
        written, reason = _written(row)
        for chosen in [*others, *([] if written is None else [written])]:
            reason = _add_pair(row, chosen, filters, selected)
        if reason:
            selected.left_out[reason] += 1
    selected.pairs = list(dict.fromkeys(selected.pairs))
    selected.judged = list(dict.fromkeys(selected.judged))
    return selected


def _is_usable(row: FeedbackRow, left_out: Counter[str]) -> bool:
    if row.suggestion is None or row.prefix is None or row.suffix is None:
        reason = "no text"
    elif row.outcome not in ("accepted", "rejected"):
        reason = f"outcome {row.outcome}"
    elif row.match_percent is None:
        reason = "no later text"  # also all rows of the first version, in which closed documents count as rejections
    elif secrets.contains_secret(row.suggestion):
        reason = "secret"
    else:
        return True
    left_out[reason] += 1
    return False


def _judge(row: FeedbackRow, filters: Filters, selected: Preferences) -> None:
    """Add ``row`` itself, if the user clearly kept or dropped it."""
    percent = row.match_percent or 0
    is_desirable = row.outcome == "accepted" and percent >= filters.kept_percent
    text = normalize_line_ends(row.suggestion or "")
    if not is_desirable and percent > filters.dropped_percent:
        selected.left_out["judged: low margin"] += 1
    elif len(text.strip()) < filters.min_chars:
        selected.left_out["judged: too short"] += 1
    else:
        judged = JudgedSuggestion(row.prefix or "", row.suffix or "", text, is_desirable, row.path_hash or "")
        selected.judged.append(judged)


def _written(row: FeedbackRow) -> tuple[str | None, str]:
    """As many lines of what the user wrote as the suggestion has; None with a reason if that is not known."""
    if row.text_30s is None:
        return None, "edited around"
    lines = (row.suggestion or "").count("\n") + 1
    later = normalize_line_ends(row.text_30s).split("\n")
    earlier = normalize_line_ends(row.text_10s or "").split("\n")
    if not "".join(later[:lines]).strip():
        return None, "nothing written"
    if len(later) <= lines and later != earlier:  # the user may still have been writing
        return None, "unfinished"
    return "\n".join(later[:lines]), ""


def _add_pair(row: FeedbackRow, chosen: str, filters: Filters, selected: Preferences) -> str:
    """Add the pair of ``chosen`` and what ``row`` suggested. Returns why it was left out; empty if it was added."""
    chosen, rejected = normalize_line_ends(chosen), normalize_line_ends(row.suggestion or "")
    if chosen == rejected:
        return "tie"
    if _essence(chosen) == _essence(rejected):
        return "nearly equal"
    if min(len(chosen.strip()), len(rejected.strip())) < filters.min_chars:
        return "too short"
    if secrets.contains_secret(chosen):
        return "secret"
    margin = 1 - SequenceMatcher(None, chosen[:_MAX_COMPARED_CHARS], rejected[:_MAX_COMPARED_CHARS], False).ratio()
    if margin < filters.min_margin:
        return "low margin"
    pair = PreferencePair(row.prefix or "", row.suffix or "", chosen, rejected, row.path_hash or "", round(margin, 3))
    selected.pairs.append(pair)
    return ""


def _essence(text: str) -> str:
    """``text`` without what does not make a difference to a user: blanks, kind of quotes, a last comma."""
    return "".join(text.split()).replace("'", '"').rstrip(",;")
