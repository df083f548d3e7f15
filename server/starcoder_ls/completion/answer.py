"""The answer to a request, from a cached suggestion or from a generation that was started for other text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starcoder_ls.completion.anchor import Anchor
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.completion.pending_generation import PendingGeneration
from starcoder_ls.completion.suggestion import Source, Suggestion, build_suggestions
from starcoder_ls.completion.suggestion_cache import CacheHit
from starcoder_ls.generation import Timings
from starcoder_ls.settings import InlineCompletion


@dataclass(frozen=True, slots=True)
class Answer:
    suggestions: list[Suggestion]
    source: Source
    timings: Timings


def answer_from_hit(hit: CacheHit, cursor: Cursor, settings: InlineCompletion) -> Answer:
    entry = hit.entry
    is_first_use = entry.is_prefetched and not entry.is_served and not hit.typed_chars
    source = Source.PREFETCHED if is_first_use else Source.MEMORY
    remaining = [replace(entry.answer, text=hit.remaining)]
    return _answer_rest(remaining, Timings(), entry.anchor, hit.typed, cursor, settings, source)


def answer_from_generation(
    generation: PendingGeneration,
    answers: list[GeneratedAnswer],
    timings: Timings,
    cursor: Cursor,
    settings: InlineCompletion,
    source: Source,
) -> Answer | None:
    """``answers`` at ``cursor``; None if a resumed generation turns out to have nothing left for it."""
    prompt, text = generation.prompt, answers[0].text
    if source is Source.MODEL:  # the text has not changed since the prompt was built
        return Answer(build_suggestions(answers, timings, cursor, prompt.insertion_point, source), source, timings)
    typed_chars = prompt.anchor.count_typed(cursor.divided, text)
    if typed_chars is None or not text[typed_chars:].strip():
        return None
    if generation.candidates == 1:
        answers = [replace(answers[0], text=text[typed_chars:])]
    return _answer_rest(answers, timings, prompt.anchor, text[:typed_chars], cursor, settings, source)


def _answer_rest(
    answers: list[GeneratedAnswer],
    timings: Timings,
    anchor: Anchor,
    typed: str,
    cursor: Cursor,
    settings: InlineCompletion,
    source: Source,
) -> Answer:
    """``answers`` are for the text at ``anchor`` after ``typed`` has been typed there."""
    after = cursor.divided.closers + anchor.after
    point = cursor.insertion_point(anchor.before + typed, after, settings)
    suggestions = build_suggestions(answers, timings, cursor, point, source)
    return Answer([replace(rest, typed_chars=len(typed)) for rest in suggestions], source, timings)
