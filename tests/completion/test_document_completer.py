from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from fakes import ScriptedEngine
from harness import async_test, wait_until
from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.document_completer import DocumentCompleter
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.suggest import Cursor, Source, Suggestion
from starcoder_ls.generation import CancelFlag, Chunk, FinishReason, Phase, Priority, Request
from starcoder_ls.settings import InlineCompletion

SETTINGS = InlineCompletion(heal_words=False, ahead=False)
BEFORE, AFTER = "import os\n\nx = ", "\n\nprint(x)\n"


class Editor:
    """One document at one desk; ``text`` with the cursor behind ``BEFORE`` and what was typed."""

    def __init__(self, engine: ScriptedEngine, settings: InlineCompletion = SETTINGS) -> None:
        self.engine, self.settings, self.metrics = engine, settings, Metrics()
        self.desk, self.typed, self.right = DocumentCompleter(self.metrics), "", ""

    @property
    def cursor(self) -> Cursor:
        return Cursor(f"{BEFORE}{self.typed}{self.right}{AFTER}", len(BEFORE) + len(self.typed))

    def type(self, text: str, right: str = "", is_typing: bool = True) -> None:
        self.typed, self.right = self.typed + text, right
        cursor = self.cursor
        here = CursorText.at(cursor.text, cursor.offset)
        self.desk.changed(self.engine, here, self.settings, (lambda: cursor) if is_typing else None)

    def ask(self, candidates: int = 1) -> asyncio.Task[list[Suggestion]]:
        return asyncio.create_task(self.desk.ask(self.engine, self.cursor, self.settings, candidates))

    async def asked(self) -> tuple[str, str]:
        """The suggestion at the cursor, and where it came from."""
        found = await self.ask()
        return (found[0].text if found else ""), self.metrics.last["source"]

    @property
    def generations(self) -> list[Request]:
        return [request for request in self.engine.all_requests if request.max_new_tokens]

    @property
    def readings(self) -> list[Request]:
        return [request for request in self.engine.all_requests if not request.max_new_tokens]


@asynccontextmanager
async def editing(*script: str, settings: InlineCompletion = SETTINGS, **options: Any) -> AsyncIterator[Editor]:
    engine = ScriptedEngine([list(script)], load_steps=0, **options)
    engine.start()
    await wait_until(lambda: engine.status().phase is Phase.READY)
    editor = Editor(engine, settings)
    try:
        yield editor
    finally:
        editor.desk.close()
        await asyncio.sleep(0.02)
        engine.close()


@async_test
async def test_typing_into_a_suggestion_is_answered_without_the_model() -> None:
    async with editing("len(", "names", ")", "\n") as editor:
        assert await editor.asked() == ("len(names)", Source.MODEL)
        editor.type("l")
        assert await editor.asked() == ("en(names)", Source.MEMORY)
        editor.type("en(", right=")")  # the editor closes the bracket
        assert await editor.asked() == ("names", Source.MEMORY)
        editor.typed = "le"
        editor.type("", right="")  # back
        assert await editor.asked() == ("n(names)", Source.MEMORY)
        assert len(editor.generations) == 1
        assert editor.metrics.summary()["tokens"]["wasted"] == 0


@async_test
async def test_typing_something_else_asks_the_model() -> None:
    async with editing("len(", "names", ")", "\n") as editor:
        await editor.asked()
        editor.type("s")
        assert (await editor.asked())[1] == Source.MODEL
        assert len(editor.generations) == 2


@async_test
async def test_without_memory_every_request_asks_the_model() -> None:
    async with editing("ab", "cd", "\n", settings=SETTINGS.model_copy(update={"remember": False})) as editor:
        for _ in range(3):
            assert await editor.asked() == ("abcd", Source.MODEL)
        assert len(editor.generations) == 3


@async_test
async def test_a_suggestion_that_was_typed_to_its_end_is_followed_by_a_new_one() -> None:
    async with editing("ab", "cd", "\n") as editor:
        await editor.asked()
        editor.type("abcd")
        assert (await editor.asked())[1] == Source.MODEL


@async_test
async def test_a_generation_goes_on_while_the_user_types_what_it_says() -> None:
    async with editing("value", " = ", "call(", "other", ")", "\n", token_s=0.03) as editor:
        first = editor.ask()
        await wait_until(lambda: editor.engine.steps >= 2)
        first.cancel()  # as the session does when the text changes
        editor.type("va")
        assert await editor.asked() == ("lue = call(other)", Source.RESUMED)
        assert len(editor.generations) == 1


@async_test
async def test_typing_against_a_generation_stops_it_within_a_step() -> None:
    async with editing(*[f"w{i} " for i in range(300)], token_s=0.01) as editor:
        first = editor.ask()
        await wait_until(lambda: editor.engine.steps >= 3)
        first.cancel()
        editor.type("z")
        steps = editor.engine.steps
        assert editor.generations[0].cancel.is_set()
        await asyncio.sleep(0.1)
        assert editor.engine.steps <= steps + 1


@async_test
async def test_a_cancelled_generation_is_paused_and_the_next_request_goes_on_with_it() -> None:
    async with editing("one ", "two ", "three ", "four", "\n", token_s=0.02) as editor:
        first = editor.ask()
        await wait_until(lambda: editor.engine.steps >= 2)
        first.cancel()
        await wait_until(lambda: editor.engine.status().phase is Phase.READY)
        assert editor.engine.steps <= 4
        text, source = await editor.asked()
        assert source == Source.RESUMED
        assert text.startswith("one two ")
        assert str(editor.generations[1].parts[-1]).startswith(f"{BEFORE}one two ")
        assert editor.generations[1].stop("x\n") == 1  # type: ignore[misc]


@async_test
async def test_an_answer_cut_by_length_is_distrusted_at_its_end_and_gone_on_with() -> None:
    settings = SETTINGS.model_copy(update={"max_new_tokens": 3})
    async with editing("first_name + ", "second_name + ", "thi", "rd", settings=settings) as editor:
        assert await editor.asked() == ("first_name + second_name +", Source.MODEL)
        editor.type("first_name + ")
        assert await editor.asked() == ("second_name +", Source.MEMORY)
        editor.type("second_")
        assert (await editor.asked())[1] == Source.RESUMED
        assert str(editor.generations[1].parts[-1]).endswith("second_name + thi")


@async_test
async def test_asking_by_hand_for_several_is_never_answered_from_memory() -> None:
    async with editing("ab", "\n") as editor:
        await editor.asked()
        assert len(await editor.ask(candidates=2)) == 1
        assert editor.metrics.last["source"] == Source.MODEL
        assert [request.candidates for request in editor.generations] == [1, 2]


@async_test
async def test_the_tail_is_read_before_the_question_and_stops_before_the_last_word() -> None:
    async with editing("1\n") as editor:
        editor.type("some_call(valu")
        await wait_until(lambda: bool(editor.readings))
        (reading,) = editor.readings
        assert (reading.parts[-1], reading.priority) == (f"{BEFORE}some_call(", Priority.PREFILL)
        editor.type("e")  # the same word: nothing new to read
        await asyncio.sleep(0.05)
        assert len(editor.readings) == 1
        await editor.asked()
        prompt = editor.generations[0].parts
        assert prompt[: len(reading.parts) - 1] == reading.parts[:-1]
        assert str(prompt[-1]).startswith(str(reading.parts[-1]))


@pytest.mark.parametrize("then", ["ask", "change", "close"])
@async_test
async def test_reading_ahead_ends_at_once_when_something_happens(then: str) -> None:
    async with editing("1\n") as editor:
        editor.type("f(")
        await wait_until(lambda: bool(editor.readings))
        if then == "ask":
            await editor.asked()
        elif then == "change":
            editor.type("a", is_typing=False)
        else:
            editor.desk.close()
        assert editor.readings[0].cancel.is_set()


@async_test
async def test_what_is_no_key_and_what_is_known_is_not_read_ahead() -> None:
    async with editing("len(names)", "\n") as editor:
        editor.type("formatted", is_typing=False)
        await asyncio.sleep(0.05)
        await editor.asked()
        editor.type("len(")
        await asyncio.sleep(0.05)
        assert editor.readings == []


@async_test
async def test_a_request_that_comes_at_once_finds_nothing_being_read() -> None:
    async with editing("1\n") as editor:
        editor.type("f(")
        await editor.asked()
        assert editor.readings == []


@async_test
async def test_the_next_suggestion_is_made_while_one_is_shown() -> None:
    async with editing("call(a)", "\n", settings=SETTINGS.model_copy(update={"ahead": True})) as editor:
        await editor.asked()
        await wait_until(lambda: len(editor.generations) == 2)
        assert editor.generations[1].priority is Priority.PREFILL
        assert editor.generations[1].parts[-1] == f"{BEFORE}call(a)"
        await wait_until(lambda: editor.engine.status().phase is Phase.READY)
        await asyncio.sleep(0.01)
        assert editor.metrics.summary()["tokens"]["wasted"] == 2
        editor.type("call(a)")
        assert await editor.asked() == ("call(a)", Source.AHEAD)
        assert editor.metrics.summary()["tokens"]["wasted"] == 0


@async_test
async def test_thinking_ahead_survives_typing_into_the_suggestion_and_nothing_else() -> None:
    settings = SETTINGS.model_copy(update={"ahead": True})
    async with editing(*[f"w{i} " for i in range(20)], "\n", token_s=0.01, settings=settings) as editor:
        await editor.asked()
        await wait_until(lambda: len(editor.generations) == 2)
        editor.type("w0 ")
        assert not editor.generations[1].cancel.is_set()
        editor.type("no")
        assert editor.generations[1].cancel.is_set()


@async_test
async def test_accepting_while_the_next_is_being_made_goes_on_with_it() -> None:
    settings = SETTINGS.model_copy(update={"ahead": True})
    script = [f"w{i} " for i in range(30)]
    async with editing(*script, "\n", token_s=0.005, settings=settings) as editor:
        text, _ = await editor.asked()
        await wait_until(lambda: editor.engine.steps >= 36)
        editor.type(text)
        assert (await editor.asked())[1] == Source.RESUMED
        assert editor.generations[1].cancel.is_set()
        assert editor.generations[2].priority is Priority.COMPLETION
        assert f"{text}w0 w1 " in str(editor.generations[2].parts[-1])


@async_test
async def test_an_answer_whose_typed_part_was_cut_off_again_is_asked_anew() -> None:
    async with editing("a ", "b ", "\n", "c", token_s=0.03) as editor:
        first = editor.ask()
        await wait_until(lambda: editor.engine.steps >= 2)
        first.cancel()
        editor.type("a b ")
        assert (await editor.asked())[1] == Source.MODEL


class Halting(ScriptedEngine):
    """Runs a generation to its last chunk and then holds it back."""

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        async for chunk in super().stream(request):
            yield replace(chunk, finish_reason=FinishReason.CANCELLED) if chunk.finish_reason else chunk


@async_test
async def test_what_is_cancelled_from_outside_is_no_suggestion() -> None:
    engine = Halting([["ab", "\n"]], load_steps=0)
    engine.start()
    await wait_until(lambda: engine.status().phase is Phase.READY)
    editor = Editor(engine)
    assert await editor.ask() == []
    editor.desk.close()
    engine.close()
    assert not CancelFlag().is_set()
