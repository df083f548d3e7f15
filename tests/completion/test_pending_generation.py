from __future__ import annotations

import asyncio

import pytest

from fakes import ScriptedEngine
from harness import async_test, wait_until
from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.pending_generation import PendingGeneration
from starcoder_ls.completion.suggest import Cursor, build_prompt
from starcoder_ls.errors import EngineError
from starcoder_ls.generation import FinishReason, Phase, Priority
from starcoder_ls.settings import InlineCompletion

SETTINGS = InlineCompletion(heal_words=False)


async def ready(engine: ScriptedEngine) -> ScriptedEngine:
    engine.start()
    await wait_until(lambda: engine.status().phase is Phase.READY)
    return engine


def begun(
    engine: ScriptedEngine, ended: list[PendingGeneration], said: str = "", is_ahead: bool = False
) -> PendingGeneration:
    asked = build_prompt(engine, Cursor("x = \n", 4), SETTINGS)
    return PendingGeneration(engine, asked, "m", SETTINGS, ended.append, said=said, is_ahead=is_ahead)


@async_test
async def test_what_is_said_so_far_is_known_while_it_is_being_made() -> None:
    engine = await ready(ScriptedEngine([["word ", "(a", ")", "\n"]], token_s=0.05))
    ended: list[PendingGeneration] = []
    thought = begun(engine, ended)
    await wait_until(lambda: thought.said == "word (a")
    assert thought.typed(CursorText.at("x = word\n", 8)) == 4
    assert thought.typed(CursorText.at("x = work\n", 8)) is None
    assert not thought.is_over
    answers, _ = await thought.answers()
    assert (answers[0].text, answers[0].finish_reason) == ("word (a)", FinishReason.STOP_RULE)
    assert ended == [thought]
    engine.close()


@async_test
async def test_a_waiter_that_gives_up_leaves_it_running_for_the_others() -> None:
    engine = await ready(ScriptedEngine([["a", "b", "\n"]], token_s=0.02))
    thought = begun(engine, [])
    first, second = (asyncio.create_task(thought.answers()) for _ in range(2))
    await wait_until(lambda: thought.waiting == 2)
    first.cancel()
    answers, _ = await second
    assert answers[0].text == "ab"
    assert first.cancelled()
    assert thought.waiting == 0
    engine.close()


@async_test
async def test_cancelling_stops_the_device_and_keeps_what_was_said() -> None:
    engine = await ready(ScriptedEngine([[f"w{i} " for i in range(200)]], token_s=0.01))
    ended: list[PendingGeneration] = []
    thought = begun(engine, ended)
    await wait_until(lambda: engine.steps >= 3)
    thought.cancel()
    steps = engine.steps
    await wait_until(lambda: bool(ended))
    assert engine.steps <= steps + 1
    assert (thought.finish_reason, thought.said[:6]) == (FinishReason.CANCELLED, "w0 w1 ")
    engine.close()


@async_test
async def test_going_on_reads_what_was_said_behind_the_prompt_and_answers_with_all_of_it() -> None:
    engine = await ready(ScriptedEngine([["def\n", "ghi"]]))
    thought = begun(engine, [], said="abc ")
    answers, _ = await thought.answers()
    assert answers[0].text == "abc def"
    assert engine.all_requests[0].parts[-1] == "x = abc "
    engine.close()


@async_test
async def test_ahead_of_a_request_it_yields_to_all_that_are_asked() -> None:
    engine = await ready(ScriptedEngine())
    await begun(engine, [], is_ahead=True).answers()
    assert engine.all_requests[0].priority is Priority.PREFILL
    engine.close()


@async_test
async def test_a_failure_reaches_the_waiter_and_without_one_nobody() -> None:
    engine = await ready(ScriptedEngine(error=EngineError("It broke. Start again.")))
    ended: list[PendingGeneration] = []
    with pytest.raises(EngineError, match="broke"):
        await begun(engine, ended).answers()
    begun(engine, ended)
    await wait_until(lambda: len(ended) == 2)
    assert (ended[1].finish_reason, ended[1].said) == (FinishReason.CANCELLED, "")
    engine.close()
