from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import async_test, connect_client
from repositories import repository
from starcoder_ls.app import Server
from starcoder_ls.context.source_files import Source
from starcoder_ls.errors import EngineError, ModelError
from starcoder_ls.evaluation import completion_client
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Hole, Kind
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.lsp.client import Client


class GatedEngine(ScriptedEngine):
    """Loads when ``may_load`` is set."""

    def __init__(self, *script: str) -> None:
        super().__init__([script])
        self.may_load = threading.Event()

    def _run(self) -> None:
        self.may_load.wait()
        super()._run()


class SilentEngine(ScriptedEngine):
    """Answers no request; ``has_request`` is set when it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.has_request = threading.Event()

    def _decode(self, *_: object) -> None:
        self.has_request.set()
        self._is_closed.wait()


@asynccontextmanager
async def initialized_client(engine: ScriptedEngine, folders: list[Path]) -> AsyncIterator[Client]:
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    try:
        async with connect_client(server) as client:
            options = {"inline_completion": {"budget_ms": 600_000}}  # a busy machine must not cut the answer
            await completion_client.initialize(client, folders, options)
            yield client
    finally:
        await asyncio.to_thread(server.close)


@async_test
async def test_suggestion_is_the_text_that_an_editor_would_insert(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    files = Repository([folder])
    engine = GatedEngine("self", ".kind", "\n")
    async with initialized_client(engine, files.folders) as client:
        progress: list[str] = []

        def show_progress(message: str) -> None:
            progress.append(message)
            engine.may_load.set()

        info = await completion_client.wait_until_ready(client, show_progress)
        assert (info.model, info.device, info.adapters) == ("scripted", "cpu", ())
        assert "Reading the weights." in progress[0]
        hole = next(hole for hole in files.draw_holes([Kind.LINE], 20, 0) if hole.middle == "self.name = name")
        text, elapsed_ms = await completion_client.request_suggestion(client, hole, "python")
    assert text == "self.kind"
    assert elapsed_ms > 0


@async_test
async def test_no_prompt_contains_the_original_of_its_hole(tmp_path: Path) -> None:
    """The file on disk, which the workspace index has read, still contains it."""
    marker = "zanzibar_expedition"
    for name in ("one", "two"):
        text = f"def travel_{name}(map):\n    route = map.find()\n    {marker}_{name} = route\n    return route\n"
        (tmp_path / f"{name}.py").write_text(text)
    files = Repository([tmp_path])
    engine = ScriptedEngine()
    async with initialized_client(engine, files.folders) as client:
        await completion_client.wait_until_ready(client, lambda _: None)
        drawn = [hole for hole in files.draw_holes(SYNTAX_KINDS, 12, 0) if marker in hole.middle]
        assert drawn
        for hole in drawn:
            before = len(engine.requests)
            await completion_client.request_suggestion(client, hole, "python")
            own = f"{marker}_{hole.source.path.removesuffix('.py')}"
            requests = engine.requests[before:]
            assert requests
            for request in requests:
                texts = [part for part in request.parts if isinstance(part, str)]
                assert not any(own in text for text in (*texts, *request.lookup_text, request.forced_prefix))


@async_test
async def test_server_is_ready_when_its_index_is_complete(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"file{number}.py").write_text("value = 1\n" * 400)
    engine = ScriptedEngine()
    async with initialized_client(engine, [tmp_path]) as client:
        await completion_client.wait_until_ready(client, lambda _: None)
        status = await client.request("starcoder/status")
    assert status["workspace"] == {"indexedFiles": 40, "isIndexed": True}


@async_test
async def test_model_that_cannot_load_raises_its_message(tmp_path: Path) -> None:
    async with initialized_client(
        ScriptedEngine(failure="The checkpoint is damaged. Download it again."), [tmp_path]
    ) as client:
        with pytest.raises(ModelError, match="The checkpoint is damaged"):
            await completion_client.wait_until_ready(client, lambda _: None)


@async_test
async def test_adapter_that_was_left_out_raises_an_error(tmp_path: Path) -> None:
    async with initialized_client(ScriptedEngine(adapters=["loaded"]), [repository(tmp_path)]) as client:
        info = await completion_client.wait_until_ready(client, lambda _: None, ["loaded"])
        assert info.adapters == ("loaded",)
        with pytest.raises(ModelError, match="The adapter other is not loaded"):
            await completion_client.wait_until_ready(client, lambda _: None, ["loaded", "other"])


@async_test
async def test_lost_connection_raises_an_engine_error(tmp_path: Path) -> None:
    hole = Hole(Kind.LINE, Source(str(tmp_path), "a.py", "value = 1\n"), 0, 9)
    engine = SilentEngine()
    async with initialized_client(engine, [tmp_path]) as client:
        await completion_client.wait_until_ready(client, lambda _: None)
        request = asyncio.create_task(completion_client.request_suggestion(client, hole, "python"))
        await asyncio.to_thread(engine.has_request.wait)
        client.close()
        with pytest.raises(EngineError, match="has ended"):
            await request


HOLE = Hole(Kind.SPAN, Source("", "a.py", "first\ncall(größe, b)\n"), 11, 16)
"""The cursor is before ``, b)``, at column 5."""


@pytest.mark.parametrize(
    ("text", "start", "end", "added"),
    [
        ("größe", 5, 5, "größe"),
        ("größe, b)", 5, 9, "größe"),
        ("call(größe", 0, 5, "größe"),
        ("größe)", 5, 9, "größe)"),
        (", b)", 5, 9, ""),
    ],
)
def test_added_text_excludes_what_the_range_replaces(text: str, start: int, end: int, added: str) -> None:
    replaced = {"start": {"line": 1, "character": start}, "end": {"line": 1, "character": end}}
    assert completion_client.added_text(HOLE, {"insertText": text, "range": replaced}) == added


def test_added_text_without_a_range_is_the_insert_text() -> None:
    assert completion_client.added_text(HOLE, {"insertText": "größe"}) == "größe"
