from __future__ import annotations

from harness import async_test
from starcoder_ls.completion.anchor import Anchor
from starcoder_ls.completion.answer import answer_from_generation, answer_from_hit
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.pending_generation import PendingGeneration
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.completion.suggestion import Source
from starcoder_ls.completion.suggestion_cache import CachedSuggestion, CacheHit
from starcoder_ls.generation import FinishReason
from starcoder_ls.settings import InlineCompletion
from stepped_engine import SteppedEngine

SETTINGS = InlineCompletion(heal_words=False)
BEFORE = "x = "


def cached(is_prefetched: bool = False, is_served: bool = False) -> CachedSuggestion:
    anchor = Anchor(BEFORE, "\n", has_document_start=True, has_document_end=True)
    return CachedSuggestion(
        "key", anchor, "f(a)", FinishReason.STOP_RULE, 3, is_prefetched=is_prefetched, is_served=is_served
    )


def test_hit_answers_with_the_rest_and_replaces_the_inserted_closer() -> None:
    cursor = Cursor("x = f()\n", 6, "python")
    answer = answer_from_hit(CacheHit(cached(), 2), cursor, SETTINGS)
    assert [found.text for found in answer.suggestions] == ["a"]
    assert answer.source is Source.MEMORY


def test_source_is_prefetched_only_at_first_use_of_the_whole_text() -> None:
    cursor = Cursor("x = \n", 4, "python")
    typed = Cursor("x = f\n", 5, "python")
    assert answer_from_hit(CacheHit(cached(is_prefetched=True), 0), cursor, SETTINGS).source is Source.PREFETCHED
    served = cached(is_prefetched=True, is_served=True)
    assert answer_from_hit(CacheHit(served, 0), cursor, SETTINGS).source is Source.MEMORY
    assert answer_from_hit(CacheHit(cached(is_prefetched=True), 1), typed, SETTINGS).source is Source.MEMORY


@async_test
async def test_resumed_generation_answers_with_what_is_not_yet_typed() -> None:
    engine = SteppedEngine(["value", "\n"])
    prompt = build_prompt(engine, Cursor("x = \n", 4), SETTINGS)
    generation = PendingGeneration(engine, prompt, "key", SETTINGS, lambda _: None)
    answers, timings = await generation.answers()
    texts = {}
    for text in ("x = va\n", "x = value\n", "x = no\n"):
        cursor = Cursor(text, len(text) - 1)
        answer = answer_from_generation(generation, answers, timings, cursor, SETTINGS, Source.RESUMED)
        texts[text] = answer and [found.text for found in answer.suggestions]
    assert texts == {"x = va\n": ["lue"], "x = value\n": None, "x = no\n": None}
