from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import async_test, connect_client
from repositories import repository
from starcoder_ls.app import Server
from starcoder_ls.errors import EngineError, ModelError
from starcoder_ls.evaluation import completion_client
from starcoder_ls.evaluation.holes import BY_SYNTAX, Hole, Kind
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.learning.sources import Source
from starcoder_ls.lsp.client import Client


@asynccontextmanager
async def introduced(engine: ScriptedEngine, folders: list[Path]) -> AsyncIterator[Client]:
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    try:
        async with connect_client(server) as client:
            await completion_client.introduced(client, folders, {})
            yield client
    finally:
        await asyncio.to_thread(server.close)


@async_test
async def test_a_hole_is_filled_with_what_an_editor_would_be_shown(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    files = Repository([folder])
    engine = ScriptedEngine([["self", ".kind", "\n"]], load_s=0.3)
    async with introduced(engine, files.folders) as client:
        said: list[str] = []
        about = await completion_client.ready(client, said.append)
        assert (about.model, about.device, about.adapters) == ("scripted", "cpu", ())
        assert any("Reading the weights." in one for one in said)
        hole = next(hole for hole in files.drawn([Kind.LINE], 20, 0) if hole.middle == "self.name = name")
        text, elapsed_ms = await completion_client.suggestion(client, hole, "python")
    assert text == "self.kind"
    assert 0 < elapsed_ms < 10_000


@async_test
async def test_no_prompt_holds_what_stood_in_the_hole(tmp_path: Path) -> None:
    """The file on disk, which the workspace's index has read, holds it still."""
    marker = "zanzibar_expedition"
    for name in ("one", "two"):
        text = f"def travel_{name}(map):\n    route = map.find()\n    {marker}_{name} = route\n    return route\n"
        (tmp_path / f"{name}.py").write_text(text)
    files = Repository([tmp_path])
    engine = ScriptedEngine()
    async with introduced(engine, files.folders) as client:
        await completion_client.ready(client, lambda _: None)
        cut = [hole for hole in files.drawn(BY_SYNTAX, 12, 0) if marker in hole.middle]
        assert cut
        for hole in cut:
            before = len(engine.requests)
            await completion_client.suggestion(client, hole, "python")
            own = f"{marker}_{hole.source.path.removesuffix('.py')}"
            asked = engine.requests[before:]
            assert asked
            for request in asked:
                seen = [part for part in request.parts if isinstance(part, str)]
                assert not any(own in text for text in (*seen, *request.lookup_text, request.forced_prefix))


@async_test
async def test_a_server_is_measured_only_once_its_index_is_complete(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"file{number}.py").write_text("value = 1\n" * 400)
    engine = ScriptedEngine()
    async with introduced(engine, [tmp_path]) as client:
        await completion_client.ready(client, lambda _: None)
        status = await client.request("starcoder/status")
    assert status["workspace"] == {"indexedFiles": 40, "isIndexed": True}


@async_test
async def test_a_model_that_cannot_load_is_an_error_with_its_own_sentence(tmp_path: Path) -> None:
    async with introduced(ScriptedEngine(failure="The checkpoint is torn. Fetch it again."), [tmp_path]) as client:
        with pytest.raises(ModelError, match="The checkpoint is torn"):
            await completion_client.ready(client, lambda _: None)


@async_test
async def test_a_server_that_goes_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    hole = Hole(Kind.LINE, Source(str(tmp_path), "a.py", "value = 1\n"), 0, 9)
    async with introduced(ScriptedEngine(token_s=5.0), [tmp_path]) as client:
        await completion_client.ready(client, lambda _: None)
        asking = asyncio.create_task(completion_client.suggestion(client, hole, "python"))
        await asyncio.sleep(0.1)
        client.close()
        with pytest.raises(EngineError, match="has ended"):
            await asking


HOLE = Hole(Kind.SPAN, Source("", "a.py", "first\ncall(größe, b)\n"), 11, 16)
"""The cursor stands before ``, b)``, five characters into its line."""


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
def test_an_answer_is_what_it_adds_to_the_text(text: str, start: int, end: int, added: str) -> None:
    shown = {"start": {"line": 1, "character": start}, "end": {"line": 1, "character": end}}
    assert completion_client.added(HOLE, {"insertText": text, "range": shown}) == added


def test_an_answer_without_a_range_is_added_as_it_is() -> None:
    assert completion_client.added(HOLE, {"insertText": "größe"}) == "größe"
