from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes import ScriptedEngine
from harness import INLINE_COMPLETION, URI, async_test, initialized_client
from starcoder_ls.features.copilot_inline_edit import METHOD
from starcoder_ls.lsp.client import Client, ResponseFailed
from starcoder_ls.session.next_edits import EDIT_ACCEPTED, EDIT_DISMISSED
from starcoder_ls.settings import validate

CODE = "def f(n):\n    a(n)\n    b(n)\n"


def rename(client: Client, uri: str = URI, version: int = 2, text: str = "k") -> None:
    span = {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 7}}
    client.change(uri, version, {"range": span, "text": text})


async def request_edits(client: Client, uri: str = URI, version: int | None = 2) -> list[dict[str, Any]]:
    document = {"uri": uri} if version is None else {"uri": uri, "version": version}
    result = await client.request(METHOD, {"textDocument": document, "position": {"line": 0, "character": 7}})
    return list(result["edits"])


@async_test
async def test_edit_has_the_form_of_githubs_server() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        assert client.capabilities["experimental"] == {"copilotInlineEdit": True}
        client.open(URI, CODE)
        assert await request_edits(client, version=1) == []
        rename(client)
        (edit,) = await request_edits(client)
        key = edit["command"]["arguments"][0]["id"]
        assert edit == {
            "text": "k",
            "range": {"start": {"line": 1, "character": 6}, "end": {"line": 1, "character": 7}},
            "textDocument": {"uri": URI, "version": 2},
            "command": {"title": "Accepted", "command": EDIT_ACCEPTED, "arguments": [{"id": key}]},
        }
        assert EDIT_ACCEPTED in client.capabilities["executeCommandProvider"]["commands"]


@async_test
async def test_edit_is_searched_after_the_suggestion_for_the_same_key() -> None:
    engine = ScriptedEngine([["1", "2", "3"]], token_s=0.02)
    async with initialized_client(engine) as client:
        client.open(URI, CODE)
        rename(client)
        edits = asyncio.ensure_future(request_edits(client))
        suggestion = asyncio.ensure_future(client.inline_completion(URI, 2, 8))
        await asyncio.wait([edits, suggestion], return_when=asyncio.FIRST_COMPLETED)
        assert suggestion.done()
        assert not edits.done()
        assert len(await edits) == 1


@async_test
async def test_edit_does_not_wait_for_a_model_that_loads() -> None:
    async with initialized_client(ScriptedEngine(load_s=60), is_ready=False) as client:
        client.open(URI, CODE)
        rename(client)
        suggestion = asyncio.ensure_future(client.inline_completion(URI, 2, 8))
        assert len(await request_edits(client)) == 1
        suggestion.cancel()


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 14), ("utf-16", 12), ("utf-32", 11)])
@async_test
async def test_range_of_an_edit_is_in_the_clients_encoding(encoding: str, character: int) -> None:
    capabilities = {**INLINE_COMPLETION, "general": {"positionEncodings": [encoding]}}
    async with initialized_client(ScriptedEngine(), capabilities=capabilities) as client:
        client.open(URI, "def f(n):\n    a('😀', n)\n")
        rename(client)
        (edit,) = await request_edits(client)
        assert edit["range"]["start"] == {"line": 1, "character": character}


@pytest.mark.parametrize("report", ["request", "notification", EDIT_DISMISSED])
@async_test
async def test_reported_edit_is_not_offered_again(report: str) -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open(URI, CODE)
        rename(client)
        (edit,) = await request_edits(client)
        command = {key: edit["command"][key] for key in ("command", "arguments")}
        if report == "notification":
            client.notify("workspace/executeCommand", command)
        else:
            command["command"] = EDIT_ACCEPTED if report == "request" else report
            assert await client.request("workspace/executeCommand", command) is None
        (edit,) = await request_edits(client)
        assert edit["range"]["start"]["line"] == 2


@pytest.mark.parametrize("version", [1, 3])
@async_test
async def test_edits_are_empty_for_another_version_and_other_documents(version: int) -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open(URI, CODE)
        rename(client)
        assert await request_edits(client, version=version) == []
        assert await request_edits(client, "file:///project/unknown.py") == []
        assert len(await request_edits(client, version=None)) == 1


@async_test
async def test_excluded_document_gets_no_edits(tmp_path: Path) -> None:
    async with initialized_client(ScriptedEngine(), folder=tmp_path) as client:
        uri = (tmp_path / ".env").as_uri()
        client.open(uri, CODE)
        rename(client, uri)
        assert await request_edits(client, uri) == []


@pytest.mark.parametrize("params", [{}, {"textDocument": {"uri": URI}}, {"position": {"line": -1, "character": 0}}])
@async_test
async def test_invalid_params_are_an_error(params: dict[str, Any]) -> None:
    async with initialized_client(ScriptedEngine()) as client:
        with pytest.raises(ResponseFailed, match="invalid"):
            await client.request(METHOD, params)


@async_test
async def test_completion_on_the_line_of_an_edit_replaces_it() -> None:
    async with initialized_client(ScriptedEngine([["m)", "\n"]])) as client:
        client.open(URI, CODE)
        rename(client)
        assert await client.inline_completion(URI, 1, 6)
        (edit,) = await request_edits(client)
        assert edit["range"]["start"]["line"] == 2


COMMIT = frozenset({"<commit_before>", "<commit_msg>", "<commit_after>", "<filename>", "<reponame>"})
PLAIN = "total = first + 1\ncount = 0\nprint(other)\nprint(count)\nprint(total)\n"


PRINTED = ["print(count)\n", "print(total)\n"]
MODEL_EDITS = {"next_edit": {"model": True}}


@asynccontextmanager
async def model_edits_client(overlay: dict[str, Any] = MODEL_EDITS) -> AsyncIterator[tuple[Client, ScriptedEngine]]:
    """The engine has the format of commits and proposes ``print(other, flush=True)`` after ``change_number``."""
    engine = ScriptedEngine(replies={"Change 1 to 2": ["count = 0\n", "print(other, flush=True)\n", *PRINTED]})
    settings = validate({"model": {"name": "scripted"}, **overlay}, "the test")
    async with initialized_client(engine, settings) as client:
        engine.set_status(special_tokens=COMMIT)
        yield client, engine


def change_number(client: Client) -> None:
    span = {"start": {"line": 0, "character": 16}, "end": {"line": 0, "character": 17}}
    client.change(URI, 2, {"range": span, "text": "2"})


@async_test
async def test_edit_of_the_model_is_offered_until_it_is_dismissed() -> None:
    async with model_edits_client() as (client, engine):
        client.open(URI, PLAIN)
        change_number(client)
        (edit,) = await request_edits(client)
        assert edit["text"] == ", flush=True"
        assert edit["range"]["start"] == {"line": 2, "character": 11}
        arguments = edit["command"]["arguments"]
        await client.request("workspace/executeCommand", {"command": EDIT_DISMISSED, "arguments": arguments})
        assert await request_edits(client) == []
        assert len(engine.requests) == 1


@async_test
async def test_edit_that_is_certain_takes_precedence_over_the_model() -> None:
    async with model_edits_client() as (client, engine):
        client.open(URI, CODE)
        rename(client)
        (edit,) = await request_edits(client)
        assert edit["text"] == "k"
        assert engine.requests == []


@async_test
async def test_model_gets_no_request_by_default() -> None:
    async with model_edits_client(overlay={}) as (client, engine):
        client.open(URI, PLAIN)
        change_number(client)
        assert await request_edits(client) == []
        assert engine.requests == []
