from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from harness import async_test
from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.completion.pending_generation import PendingGeneration
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.errors import EngineError
from starcoder_ls.generation import Engine, FinishReason, Priority
from starcoder_ls.settings import InlineCompletion
from stepped_engine import SteppedEngine, settle

SETTINGS = InlineCompletion(heal_words=False)


def start(
    engine: Engine, ended: list[PendingGeneration], generated: GeneratedAnswer | None = None, is_prefetch: bool = False
) -> PendingGeneration:
    prompt = build_prompt(SteppedEngine(), Cursor("x = \n", 4), SETTINGS)
    return PendingGeneration(
        engine, prompt, "model", SETTINGS, ended.append, generated=generated, is_prefetch=is_prefetch
    )


@async_test
async def test_text_is_known_while_it_is_being_generated() -> None:
    engine, ended = SteppedEngine(["word ", "(a", ")", "\n"], is_stepped=True), []
    generation = start(engine, ended)
    await engine.step(2)
    assert generation.text == "word (a"
    assert generation.count_typed(CursorText.at("x = word\n", 8)) == 4
    assert generation.count_typed(CursorText.at("x = work\n", 8)) is None
    assert not generation.is_over
    await engine.run()
    answers, _ = await generation.answers()
    assert (answers[0].text, answers[0].finish_reason) == ("word (a)", FinishReason.STOP_RULE)
    assert ended == [generation]


@async_test
async def test_cancelled_waiter_leaves_generation_running_for_others() -> None:
    engine = SteppedEngine(["a", "b", "\n"], is_stepped=True)
    generation = start(engine, [])
    first, second = (asyncio.create_task(generation.answers()) for _ in range(2))
    await settle()
    assert generation.waiters == 2
    first.cancel()
    await engine.run()
    answers, _ = await second
    assert answers[0].text == "ab"
    assert first.cancelled()
    assert generation.waiters == 0


@async_test
async def test_cancel_stops_before_the_next_step_and_keeps_the_text() -> None:
    engine, ended = SteppedEngine([f"w{i} " for i in range(200)], is_stepped=True), []
    generation = start(engine, ended)
    await engine.step(3)
    generation.cancel()
    await engine.run()
    assert ended == [generation]
    assert engine.steps == 3
    assert (generation.to_cache().finish_reason, generation.text) == (FinishReason.CANCELLED, "w0 w1 w2 ")


@async_test
async def test_cancel_after_the_end_does_nothing() -> None:
    engine = SteppedEngine(["a", "\n"])
    generation = start(engine, [])
    await generation.answers()
    generation.cancel()
    assert not engine.requests[0].cancel.is_set()


@async_test
async def test_resumed_generation_appends_earlier_text_to_the_prompt() -> None:
    engine = SteppedEngine(["def\n", "ghi"])
    answers, _ = await start(engine, [], generated=GeneratedAnswer("abc ")).answers()
    assert answers[0].text == "abc def"
    assert engine.requests[0].parts[-1] == "x = abc "


@async_test
async def test_cached_answer_has_the_confidence_of_resumed_tokens_too() -> None:
    engine, generated = SteppedEngine(["d", "e", "\n"]), GeneratedAnswer("abc ", 2, logprob=2 * math.log(0.1))
    engine.probability = 0.5
    generation = start(engine, [], generated)
    assert generation.to_cache().answer == replace(generated, finish_reason=FinishReason.CANCELLED)
    await generation.answers()
    entry = generation.to_cache()
    assert (entry.text, entry.tokens, entry.generated_tokens) == ("abc de", 5, 3)
    assert math.isclose(entry.logprob, math.log(0.1**2 * 0.5**3))


@async_test
async def test_prefetch_has_lower_priority_than_requests() -> None:
    engine = SteppedEngine(["a", "\n"])
    await start(engine, [], is_prefetch=True).answers()
    assert engine.requests[0].priority is Priority.PREFILL


@async_test
async def test_failure_reaches_the_waiter_and_ends_the_generation() -> None:
    engine, ended = SteppedEngine(error=EngineError("It broke.")), []
    with pytest.raises(EngineError, match="broke"):
        await start(engine, ended).answers()
    start(engine, ended)  # without a waiter: asyncio must not report the exception
    await settle()
    assert len(ended) == 2
    assert (ended[1].to_cache().finish_reason, ended[1].text, ended[1].is_over) == (FinishReason.CANCELLED, "", True)


@async_test
async def test_waiting_request_continues_before_the_end_is_handled() -> None:
    engine, ended = SteppedEngine(["a", "\n"]), []
    generation = start(engine, ended)
    await generation.answers()
    assert generation.is_over
    assert ended == []
    await settle()
    assert (ended, generation.has_answered) == ([generation], True)
    generation.end()
    assert ended == [generation]
