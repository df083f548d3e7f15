from __future__ import annotations

from fakes import ScriptedEngine, before_cursor
from harness import URI, scenario, talking, until


@scenario
async def test_the_model_reads_what_was_opened() -> None:
    engine = ScriptedEngine()
    async with talking(engine) as client:
        client.open("file:///a%20b.py", "x = ")
        assert await client.inline_completion("file:///a%20b.py", 0, 4)
        assert before_cursor(engine.requests[0]) == "x = "


@scenario
async def test_opening_again_ends_what_was_asked_and_replaces_the_text() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(50)]], token_s=0.02)
    async with talking(engine) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await until(lambda: engine.steps >= 1)
        client.open(URI, "other")
        assert await pending is None
        client.inline_completion(URI, 0, 5)
        await until(lambda: len(engine.requests) == 2)
        assert before_cursor(engine.requests[1]) == "other"


@scenario
async def test_any_string_is_a_language_and_any_a_uri() -> None:
    async with talking(ScriptedEngine()) as client:
        client.open("", "x = ", language="a language from the future")
        assert await client.inline_completion("", 0, 4)
