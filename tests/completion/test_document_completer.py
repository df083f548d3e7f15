from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from harness import async_test
from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.document_completer import DocumentCompleter
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.suggestion import Source, Suggestion
from starcoder_ls.generation import AdapterStatus, Capabilities, Chunk, FinishReason, Priority, Request
from starcoder_ls.settings import InlineCompletion
from stepped_engine import ManualClock, SteppedEngine, settle

SETTINGS = InlineCompletion(heal_words=False, ahead=False)
PREFETCH = SETTINGS.model_copy(update={"ahead": True})
BEFORE, AFTER = "import os\n\nx = ", "\n\nprint(x)\n"
GRACE_S, PREFILL_DELAY_S, PREFETCH_DELAY_S = 0.002, 0.004, 0.1


class Editor:
    """One document; the cursor stands behind ``BEFORE`` and what was typed, left of ``closers``."""

    def __init__(self, engine: SteppedEngine, settings: InlineCompletion) -> None:
        self.engine, self.settings, self.metrics, self.clock = engine, settings, Metrics(), ManualClock()
        self.completer = DocumentCompleter(self.metrics, self.clock.schedule, self.clock)
        self.typed, self.closers = "", ""
        self.adapter: str | None = None

    @property
    def cursor(self) -> Cursor:
        text = f"{BEFORE}{self.typed}{self.closers}{AFTER}"
        return Cursor(text, len(BEFORE) + len(self.typed), adapter=self.adapter)

    def type(self, text: str, closers: str = "", is_key: bool = True) -> None:
        self.typed, self.closers = self.typed + text, closers
        cursor = self.cursor
        divided = CursorText.at(cursor.text, cursor.offset)
        self.completer.handle_change(self.engine, divided, self.settings, (lambda: cursor) if is_key else None)

    def request(self, candidates: int = 1) -> asyncio.Task[list[Suggestion]]:
        return asyncio.create_task(self.completer.suggest(self.engine, self.cursor, self.settings, candidates))

    async def suggest(self) -> tuple[str, str]:
        """The suggestion at the cursor, and its source."""
        task = self.request()
        await settle()
        await self.engine.run()
        suggestions = await task
        return (suggestions[0].text if suggestions else ""), self.metrics.last["source"]


@asynccontextmanager
async def editing(
    *script: str, settings: InlineCompletion = SETTINGS, is_stepped: bool = False
) -> AsyncIterator[Editor]:
    editor = Editor(SteppedEngine(script, is_stepped=is_stepped), settings)
    try:
        yield editor
    finally:
        editor.completer.close()
        await editor.engine.run()


@async_test
async def test_typing_into_suggestion_is_answered_without_model() -> None:
    async with editing("len(", "names", ")", "\n") as editor:
        assert await editor.suggest() == ("len(names)", Source.MODEL)
        editor.type("l")
        assert await editor.suggest() == ("en(names)", Source.MEMORY)
        editor.type("en(", closers=")")  # the editor inserts the bracket
        assert await editor.suggest() == ("names", Source.MEMORY)
        editor.typed = "le"
        editor.type("", closers="")  # backspace
        assert await editor.suggest() == ("n(names)", Source.MEMORY)
        assert len(editor.engine.generations) == 1
        assert editor.metrics.summary()["tokens"]["wasted"] == 0


@async_test
async def test_typing_something_else_asks_the_model() -> None:
    async with editing("len(", "names", ")", "\n") as editor:
        await editor.suggest()
        editor.type("s")
        assert (await editor.suggest())[1] == Source.MODEL
        assert len(editor.engine.generations) == 2


@async_test
async def test_answers_of_another_version_of_the_adapter_are_not_served() -> None:
    async with editing("len(", "names", ")", "\n") as editor:
        editor.adapter, sources = "own", []
        for version in ("1", "1", "2", "1"):
            editor.engine.adapters = (AdapterStatus("own", "LORA", "/own/current", folder=f"/own/{version}"),)
            sources.append((await editor.suggest())[1])
        assert sources == [Source.MODEL, Source.MEMORY, Source.MODEL, Source.MEMORY]


@async_test
async def test_without_cache_every_request_asks_the_model() -> None:
    async with editing("ab", "cd", "\n", settings=SETTINGS.model_copy(update={"remember": False})) as editor:
        for _ in range(3):
            assert await editor.suggest() == ("abcd", Source.MODEL)
        assert len(editor.engine.generations) == 3


@async_test
async def test_suggestion_typed_to_its_end_is_followed_by_a_new_one() -> None:
    async with editing("ab", "cd", "\n") as editor:
        await editor.suggest()
        editor.type("abcd")
        assert (await editor.suggest())[1] == Source.MODEL


@async_test
async def test_generation_continues_while_user_types_its_text() -> None:
    async with editing("value", " = ", "call(", "other", ")", "\n", is_stepped=True) as editor:
        first = editor.request()
        await editor.engine.step(2)
        first.cancel()  # as the session does when the text changes
        editor.type("va")
        await editor.clock.advance(GRACE_S)
        assert await editor.suggest() == ("lue = call(other)", Source.RESUMED)
        assert len(editor.engine.generations) == 1


@async_test
async def test_typing_against_generation_stops_it_before_the_next_step() -> None:
    async with editing(*[f"w{i} " for i in range(300)], is_stepped=True) as editor:
        first = editor.request()
        await editor.engine.step(3)
        first.cancel()
        editor.type("z")
        assert editor.engine.generations[0].cancel.is_set()
        await editor.engine.run()
        assert editor.engine.steps == 3


@async_test
async def test_abandoned_generation_is_cancelled_and_next_request_resumes_it() -> None:
    async with editing("one ", "two ", "three ", "four", "\n", is_stepped=True) as editor:
        first = editor.request()
        await editor.engine.step(2)
        first.cancel()
        await settle()
        assert not editor.engine.generations[0].cancel.is_set()
        await editor.clock.advance(GRACE_S)
        assert editor.engine.generations[0].cancel.is_set()
        await editor.engine.run()
        assert editor.engine.steps == 2
        text, source = await editor.suggest()
        assert source == Source.RESUMED
        assert text.startswith("one two ")
        assert str(editor.engine.generations[1].parts[-1]).startswith(f"{BEFORE}one two ")
        assert editor.engine.generations[1].stop("x\n") == 1  # type: ignore[misc]


@async_test
async def test_request_within_grace_period_keeps_the_generation() -> None:
    async with editing("one ", "two", "\n", is_stepped=True) as editor:
        first = editor.request()
        await editor.engine.step(1)
        first.cancel()
        second = editor.request()
        await settle()
        await editor.clock.advance(GRACE_S)
        await editor.engine.run()
        assert (await second)[0].text == "one two"
        assert len(editor.engine.generations) == 1


@async_test
async def test_truncated_answer_loses_its_end_and_is_resumed() -> None:
    settings = SETTINGS.model_copy(update={"max_new_tokens": 3})
    async with editing("first_name + ", "second_name + ", "thi", "rd", settings=settings) as editor:
        assert await editor.suggest() == ("first_name + second_name +", Source.MODEL)
        editor.type("first_name + ")
        assert await editor.suggest() == ("second_name +", Source.MEMORY)
        editor.type("second_")
        assert (await editor.suggest())[1] == Source.RESUMED
        assert str(editor.engine.generations[1].parts[-1]).endswith("second_name + thi")


@async_test
async def test_request_for_several_candidates_ignores_the_cache() -> None:
    async with editing("ab", "\n") as editor:
        await editor.suggest()
        assert len(await editor.request(candidates=2)) == 1
        assert editor.metrics.last["source"] == Source.MODEL
        assert [request.candidates for request in editor.engine.generations] == [1, 2]


@async_test
async def test_prefill_reads_new_text_up_to_the_last_word() -> None:
    async with editing("1\n") as editor:
        editor.type("some_call(valu")
        await editor.clock.advance(PREFILL_DELAY_S)
        (prefill,) = editor.engine.prefills
        assert (prefill.parts[-1], prefill.priority) == (f"{BEFORE}some_call(", Priority.PREFILL)
        editor.type("e")  # the same word: nothing new to read
        await editor.clock.advance(PREFILL_DELAY_S)
        assert len(editor.engine.prefills) == 1
        await editor.suggest()
        prompt = editor.engine.generations[0].parts
        assert prompt[: len(prefill.parts) - 1] == prefill.parts[:-1]
        assert str(prompt[-1]).startswith(str(prefill.parts[-1]))


@async_test
async def test_prefill_waits_as_long_as_the_engine_says() -> None:
    async with editing("1\n") as editor:
        editor.engine.capabilities = Capabilities(prefill_delay_s=0.15)
        editor.type("f(")
        await editor.clock.advance(0.149)
        assert editor.engine.prefills == []
        await editor.clock.advance(0.002)
        assert len(editor.engine.prefills) == 1
        editor.engine.capabilities = Capabilities(prefill_delay_s=None)
        editor.type("g(")
        await editor.clock.advance(1)
        assert len(editor.engine.prefills) == 1


@pytest.mark.parametrize("event", ["request", "change", "close"])
@async_test
async def test_running_prefill_is_cancelled_by_any_event(event: str) -> None:
    async with editing("1\n", is_stepped=True) as editor:
        editor.type("f(")
        await editor.clock.advance(PREFILL_DELAY_S)
        (prefill,) = editor.engine.prefills
        assert not prefill.cancel.is_set()
        if event == "request":
            await editor.suggest()
        elif event == "change":
            editor.type("a", is_key=False)
        else:
            editor.completer.close()
        assert prefill.cancel.is_set()


@async_test
async def test_request_cancels_prefill_before_it_reaches_the_engine() -> None:
    async with editing("1\n", is_stepped=True) as editor:
        editor.type("f(")
        await editor.clock.advance(PREFILL_DELAY_S)
        task = editor.request()
        await asyncio.sleep(0)  # the completer has seen the request, the engine has not
        assert (editor.engine.prefills[0].cancel.is_set(), editor.engine.generations) == (True, [])
        await editor.engine.run()
        await task


@async_test
async def test_change_that_is_no_key_or_has_cached_answer_is_not_prefilled() -> None:
    async with editing("len(names)", "\n") as editor:
        editor.type("formatted", is_key=False)
        await editor.clock.advance(1)
        await editor.suggest()
        editor.type("len(")
        await editor.clock.advance(1)
        assert editor.engine.prefills == []


@async_test
async def test_request_right_after_a_key_prevents_prefill() -> None:
    async with editing("1\n") as editor:
        editor.type("f(")
        await editor.suggest()
        await editor.clock.advance(1)
        assert editor.engine.prefills == []


@async_test
async def test_next_suggestion_is_prefetched_while_one_is_shown() -> None:
    async with editing("call(a)", "\n", settings=PREFETCH) as editor:
        await editor.suggest()
        assert len(editor.engine.generations) == 1
        await editor.clock.advance(PREFETCH_DELAY_S)
        prefetch = editor.engine.generations[1]
        assert (prefetch.priority, prefetch.parts[-1]) == (Priority.PREFILL, f"{BEFORE}call(a)")
        assert editor.metrics.summary()["tokens"]["wasted"] == 2
        editor.type("call(a)")
        assert await editor.suggest() == ("call(a)", Source.PREFETCHED)
        assert editor.metrics.summary()["tokens"]["wasted"] == 0


@async_test
async def test_planned_prefetch_is_dropped_when_user_types_something_else() -> None:
    async with editing("call(a)", "\n", settings=PREFETCH) as editor:
        await editor.suggest()
        editor.type("no", is_key=False)
        await editor.clock.advance(PREFETCH_DELAY_S)
        assert len(editor.engine.generations) == 1


@async_test
async def test_prefetch_survives_typing_into_the_suggestion_only() -> None:
    async with editing(*[f"w{i} " for i in range(20)], "\n", settings=PREFETCH) as editor:
        await editor.suggest()
        editor.engine.is_stepped = True
        await editor.clock.advance(PREFETCH_DELAY_S)
        prefetch = editor.engine.generations[1]
        editor.type("w0 ")
        assert not prefetch.cancel.is_set()
        editor.type("no")
        assert prefetch.cancel.is_set()


@async_test
async def test_request_cancels_prefetch_before_it_reaches_the_engine() -> None:
    async with editing("call(a)", "\n", settings=PREFETCH) as editor:
        await editor.suggest()
        editor.engine.is_stepped = True
        await editor.clock.advance(PREFETCH_DELAY_S)
        task = editor.request(candidates=2)
        await asyncio.sleep(0)  # the completer has seen the request, the engine has not
        assert editor.engine.generations[1].cancel.is_set()
        assert len(editor.engine.generations) == 2
        await editor.engine.run()
        await task


@async_test
async def test_accepting_during_prefetch_resumes_it() -> None:
    script = [f"w{i} " for i in range(30)]
    async with editing(*script, "\n", settings=PREFETCH) as editor:
        text, _ = await editor.suggest()
        editor.engine.is_stepped = True
        await editor.clock.advance(PREFETCH_DELAY_S)
        await editor.engine.step(5)
        editor.type(text)
        assert (await editor.suggest())[1] == Source.RESUMED
        assert editor.engine.generations[1].cancel.is_set()
        assert editor.engine.generations[2].priority is Priority.COMPLETION
        assert f"{text}w0 w1 " in str(editor.engine.generations[2].parts[-1])


@async_test
async def test_unlikely_prefetch_stays_unlikely_when_it_is_resumed() -> None:
    settings = PREFETCH.model_copy(update={"min_confidence": 0.5})
    async with editing(*[f"w{i} " for i in range(30)], "\n", settings=settings) as editor:
        text, _ = await editor.suggest()
        editor.engine.is_stepped, editor.engine.probability = True, 0.05
        await editor.clock.advance(PREFETCH_DELAY_S)
        await editor.engine.step(3)
        editor.engine.probability = 1.0
        editor.type(text)
        assert await editor.suggest() == ("", Source.MEMORY)
        assert len(editor.engine.generations) == 3  # what nothing is shown of is not generated once more


@async_test
async def test_request_cancelled_after_an_unlikely_token_is_resumed() -> None:
    settings = SETTINGS.model_copy(update={"min_confidence": 0.5})
    async with editing("one ", "two ", "three ", "four ", "five", "\n", settings=settings, is_stepped=True) as editor:
        editor.engine.probability = 0.1
        first = editor.request()
        await editor.engine.step(1)
        first.cancel()
        await settle()
        await editor.clock.advance(GRACE_S)
        await editor.engine.run()
        editor.engine.probability = 1.0
        text, source = await editor.suggest()
        assert (text[:4], source) == ("one ", Source.RESUMED)


@async_test
async def test_generation_that_stops_before_what_was_typed_is_replaced() -> None:
    async with editing("a ", "b ", "\n", "c", is_stepped=True) as editor:
        first = editor.request()
        await editor.engine.step(2)
        first.cancel()
        editor.type("a b ")
        assert (await editor.suggest())[1] == Source.MODEL


class CancellingEngine(SteppedEngine):
    """Reports each generation as cancelled at its last chunk."""

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        async for chunk in super().stream(request):
            yield replace(chunk, finish_reason=FinishReason.CANCELLED) if chunk.finish_reason else chunk


@async_test
async def test_generation_cancelled_by_the_engine_gives_no_suggestion() -> None:
    editor = Editor(CancellingEngine(["ab", "\n"]), SETTINGS)
    assert await editor.request() == []
