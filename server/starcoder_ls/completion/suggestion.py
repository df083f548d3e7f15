"""From generated answers to suggestions: filtered, without duplicates and secrets, each with the range it replaces."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import auto_closers, postprocess
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.context import secrets
from starcoder_ls.generation import FinishReason, Timings


class Source(enum.StrEnum):
    """Where an answer came from."""

    MODEL = "model"
    RESUMED = "resumed"
    """A generation that was started for an earlier request."""
    MEMORY = "memory"
    """The cache of suggestions."""
    PREFETCHED = "ahead"
    """The cache of suggestions; it was generated before it was requested."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``text`` replaces ``start`` .. ``end`` of the document; ``timings`` are those of the whole request.

    ``typed_chars``: how much of the suggestion the user has typed already; ``text`` is the rest.
    ``confidence`` is the geometric mean of the probabilities of its tokens, before filters shortened it.
    """

    text: str
    start: int
    end: int
    finish_reason: FinishReason
    prompt_tokens: int
    new_tokens: int
    timings: Timings
    source: Source = Source.MODEL
    typed_chars: int = 0
    confidence: float = 1.0


def build_suggestions(
    answers: Sequence[GeneratedAnswer],
    timings: Timings,
    cursor: Cursor,
    point: InsertionPoint,
    source: Source = Source.MODEL,
) -> list[Suggestion]:
    """The distinct suggestions that are worth showing at ``cursor``, the most likely first.

    A suggestion that contains closers that the editor has already inserted replaces those.
    """
    closers, typed = postprocess.read_closers(point), cursor.divided.closers
    suggestions: dict[str, Suggestion] = {}  # by normalized text
    for answer in sorted(answers, key=lambda answer: -answer.confidence):
        text = postprocess.apply_filters(answer.text, point, answer.finish_reason)
        if not text or secrets.contains_secret(text, point.before):
            continue
        replaced = (
            auto_closers.count_replaced(text, typed, closers, point.language)
            if typed
            else auto_closers.count_filled(text, point.line_before, closers, point.language)
        )
        end = cursor.offset + replaced
        suggestion = Suggestion(
            text, cursor.offset, end, answer.finish_reason, timings.prompt_tokens, answer.tokens, timings, source,
            confidence=answer.confidence,
        )  # fmt: skip
        suggestions.setdefault(_normalize(text, point) if len(answers) > 1 else text, suggestion)
    return list(suggestions.values())


def _normalize(text: str, point: InsertionPoint) -> str:
    """Candidates are duplicates if they differ only in blanks, line-end comments, quote kind and a last comma."""
    for mark in point.language.line_comments:
        text = "\n".join(line.partition(f" {mark}")[0] for line in text.split("\n"))
    return "".join(text.split()).replace("'", '"').rstrip(",;")
