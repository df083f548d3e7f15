import sqlite3
from pathlib import Path

import pytest

from fakes import ScriptedEngine
from feedback_files import join_writers
from harness import URI, async_test, initialized_client
from starcoder_ls.features.did_show_completion import METHOD


@pytest.mark.parametrize("is_notified", [True, False])
@async_test
async def test_only_shown_suggestions_are_recorded(
    is_notified: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    async with initialized_client(ScriptedEngine([["one()", "\n"]])) as client:
        client.open(URI, "x = \n")
        (item,) = await client.inline_completion(URI, 0, 4)
        if is_notified:
            client.notify(METHOD, {"item": item})
        await client.request("starcoder/status")
    join_writers()
    path = tmp_path / "feedback.sqlite3"
    assert path.exists() is is_notified
    if is_notified:
        database = sqlite3.connect(path)
        assert database.execute("select outcome from suggestions").fetchall() == [("closed",)]  # the client has left
        database.close()
