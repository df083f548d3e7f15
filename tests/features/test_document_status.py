from __future__ import annotations

from pathlib import Path

import pytest

from context_files import EXCLUDED, document_statuses
from fakes import ScriptedEngine
from harness import INLINE_COMPLETION, URI, async_test, initialized_client, notifications_of
from starcoder_ls.lsp.client import ResponseFailed

STATUS = INLINE_COMPLETION | {"experimental": {"starcoderStatus": True}}


@async_test
async def test_secret_file_gets_no_suggestions_and_its_status_says_excluded(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    uri = (tmp_path / ".env").as_uri()
    async with initialized_client(engine, capabilities=STATUS, folder=tmp_path) as client:
        client.open(uri, "TOKEN=", language="plaintext")
        assert await client.inline_completion(uri, 0, 6) is None
        assert document_statuses(client) == [EXCLUDED | {"uri": uri, "reason": "`.env` looks like a secret"}]
        assert await client.inline_completion(uri, 0, 6, is_invoked=True) is None
        assert await client.inline_completion(uri, 0, 6, is_invoked=True) is None
        (message,) = notifications_of(client, "window/showMessage")
        assert "looks like a secret" in message["message"]
        assert "context.ignore" in message["message"]
        assert engine.requests == []


@async_test
async def test_document_status_request_works_for_closed_documents(tmp_path: Path) -> None:
    async with initialized_client(ScriptedEngine(), folder=tmp_path) as client:
        for name, status in (("id_rsa", "excluded"), ("a.py", "included")):
            uri = (tmp_path / name).as_uri()
            answer = await client.request("starcoder/documentStatus", {"textDocument": {"uri": uri}})
            assert (answer["uri"], answer["status"]) == (uri, status)
            assert bool(answer["reason"]) == (status == "excluded")
        with pytest.raises(ResponseFailed):
            await client.request("starcoder/documentStatus", {"uri": URI})
        assert not document_statuses(client)


@async_test
async def test_context_ignore_setting_excludes_and_includes_at_once(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    plain, template = (tmp_path / "a.py").as_uri(), (tmp_path / ".env.example").as_uri()
    async with initialized_client(engine, capabilities=STATUS, folder=tmp_path) as client:
        client.open(plain, "x = ")
        client.open(template, "x = ")
        tree = {"context": {"ignore": ["a.py", "!.env.example"]}}
        client.notify("workspace/didChangeConfiguration", {"settings": tree})
        assert await client.inline_completion(plain, 0, 4) is None
        assert await client.inline_completion(template, 0, 4)
        statuses = {item["uri"]: item["status"] for item in document_statuses(client)}
        assert statuses == {template: "included", plain: "excluded"}
