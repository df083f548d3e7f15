from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from edited_text import EditedText
from fakes import ScriptedEngine
from harness import async_test, wait_until
from starcoder_ls.errors import EngineError
from starcoder_ls.generation import AdapterStatus, Phase
from starcoder_ls.next_edit.token_changes import Replacement
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.model_edits import REST_S, ModelEdits
from starcoder_ls.settings import validate

COMMIT = frozenset({"<commit_before>", "<commit_msg>", "<commit_after>", "<filename>", "<reponame>"})
CODE = "def f(n):\n    a(n)\n    b(n)\n    c(n)\n    return 0\n"
ANSWER = ["    a(k)\n", "    b(n)\n", "    c(n)\n", "    return 0\n"]


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine([ANSWER], load_steps=1)
    scripted.set_status(phase=Phase.READY, special_tokens=COMMIT)
    scripted.start()
    yield scripted
    scripted.close()


class Editor:
    """A document after an edit, and requests for the model's next edit."""

    def __init__(
        self,
        engine: ScriptedEngine | None,
        model_name: str = "some/model",
        adapters: dict[str, object] | None = None,
        **next_edit: object,
    ) -> None:
        tree = {"model": {"name": model_name}, "adapters": adapters or {}, "next_edit": {"model": True, **next_edit}}
        self.rests: list[float] = []
        settings = ClientSettings(validate(tree, "the test"), lambda _: None)
        self.model_edits = ModelEdits(settings, lambda: engine, "client 1", self._rest)
        self.document = EditedText(CODE)
        self.document.replace("f(n)", "f(k)")

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        await asyncio.sleep(0)

    async def find(self) -> Replacement | None:
        with ThreadPoolExecutor(1) as executor:
            document = self.document
            return await self.model_edits.find(
                document.open_text(), document.cursor, document.history.recent(), executor
            )


@async_test
async def test_confident_edit_is_found_with_one_request(engine: ScriptedEngine) -> None:
    editor = Editor(engine)
    found = await editor.find()
    start = editor.document.text.index("a(n)") + 2
    assert found == Replacement(start, start + 1, "n", "k")
    assert await editor.find() == found
    assert len(engine.all_requests) == 1
    assert engine.all_requests[0].client == "client 1"


@async_test
async def test_model_gets_another_request_when_the_text_has_changed(engine: ScriptedEngine) -> None:
    editor = Editor(engine)
    await editor.find()
    editor.document.replace("return 0", "return 1")
    editor.document.replace("f(k)", "f(kk)")
    assert await editor.find() is not None
    assert len(engine.all_requests) == 2


@pytest.mark.parametrize("case", ["off", "bundled", "no engine", "no tokens"])
@async_test
async def test_model_that_cannot_edit_gets_no_request(case: str, engine: ScriptedEngine) -> None:
    if case == "no tokens":
        engine.set_status(special_tokens=frozenset({"<fim_prefix>"}))
    editor = Editor(
        None if case == "no engine" else engine,
        "bundled" if case == "bundled" else "some/model",
        model=case != "off",
    )
    assert await editor.find() is None
    assert engine.all_requests == []


@async_test
async def test_edit_adapter_of_the_bundled_model_gets_the_request(engine: ScriptedEngine) -> None:
    engine.set_status(adapters=(AdapterStatus("mine"),))
    adapters = {"mine": {"path": "somewhere", "tasks": ["rewrite"], "template": "edits"}}
    assert await Editor(engine, "bundled", adapters).find() is not None
    assert engine.all_requests[0].adapter == "mine"


@async_test
async def test_answer_that_breaks_the_syntax_gives_nothing(engine: ScriptedEngine) -> None:
    engine.scripts = [["    a(k\n", *ANSWER[1:]]]
    assert await Editor(engine).find() is None


@async_test
async def test_failing_engine_gives_nothing(engine: ScriptedEngine) -> None:
    engine.error = EngineError("The model failed.")
    assert await Editor(engine).find() is None


@async_test
async def test_next_key_cancels_the_request(engine: ScriptedEngine) -> None:
    engine.scripts, engine.token_s = [["    a(n)\n"] * 10_000], 0.001
    editor = Editor(engine)
    finding = asyncio.create_task(editor.find())
    await wait_until(lambda: len(engine.all_requests) == 1)
    editor.model_edits.cancel()
    assert await finding is None
    assert engine.steps < 10_000
    engine.scripts, engine.token_s = [ANSWER], 0.0
    assert await editor.find() is not None, "an answer that was cancelled is not remembered"


@async_test
async def test_model_gets_a_request_only_when_the_text_rests(engine: ScriptedEngine) -> None:
    editor = Editor(engine)
    finding = asyncio.create_task(editor.find())
    await asyncio.sleep(0)
    editor.model_edits.cancel()  # the next key
    assert await finding is None
    assert engine.all_requests == []
    assert editor.rests == [REST_S]


class UnsureEngine(ScriptedEngine):
    """Reports a probability of 0.5 for each token."""

    async def stream(self, request):  # type: ignore[no-untyped-def, override]
        import dataclasses

        async for chunk in super().stream(request):
            yield dataclasses.replace(chunk, logprob=-0.693147 * len(chunk.token_ids))


@async_test
async def test_confidence_decides_whether_an_edit_is_shown() -> None:
    engine = UnsureEngine([ANSWER], load_steps=1)
    engine.set_status(phase=Phase.READY, special_tokens=COMMIT)
    engine.start()
    try:
        assert await Editor(engine, min_confidence=0.6).find() is None
        assert await Editor(engine, min_confidence=0.4).find() is not None
    finally:
        engine.close()
