from __future__ import annotations

from pathlib import Path

from context_files import EXCLUDED, create_workspace, document_statuses, wait_until_indexed
from fakes import ScriptedEngine
from harness import INLINE_COMPLETION, async_test, initialized_client, wait_until


@async_test
async def test_changed_files_are_indexed_again(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    create_workspace(tmp_path)
    async with initialized_client(engine, folder=tmp_path) as client:
        (tmp_path / "new.py").write_text("value = matrix_inverse(rows)\nnew_version = 1\nprint(value, new_version)\n")
        changes = [{"uri": (tmp_path / "new.py").as_uri(), "type": 1}, {"uri": "untitled:x", "type": 2}]
        client.notify("workspace/didChangeWatchedFiles", {"changes": changes})
        await wait_until_indexed(client, engine, tmp_path, "new_version")


@async_test
async def test_new_ignore_rule_excludes_an_open_document_and_notifies_client(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    uri = (tmp_path / "app.py").as_uri()
    capabilities = INLINE_COMPLETION | {"experimental": {"starcoderStatus": True}}
    async with initialized_client(engine, capabilities=capabilities, folder=tmp_path) as client:
        client.open(uri, "x = ")
        assert await client.inline_completion(uri, 0, 4)
        (tmp_path / ".starcoderignore").write_text("app.py\n")

        def has_status() -> bool:
            changes = [{"uri": (tmp_path / ".starcoderignore").as_uri(), "type": 1}]
            client.notify("workspace/didChangeWatchedFiles", {"changes": changes})
            return bool(document_statuses(client))

        await wait_until(has_status)
        assert document_statuses(client)[0] == EXCLUDED | {"uri": uri, "reason": ".starcoderignore names it"}
        assert await client.inline_completion(uri, 0, 4) is None
