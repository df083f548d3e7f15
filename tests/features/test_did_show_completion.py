import sqlite3
from pathlib import Path

import pytest

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client
from starcoder_ls.features.did_show_completion import METHOD


@pytest.mark.parametrize("is_told", [True, False])
@async_test
async def test_only_what_was_on_the_screen_is_written_down(
    is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    async with initialized_client(ScriptedEngine([["one()", "\n"]])) as client:
        client.open(URI, "x = \n")
        (item,) = await client.inline_completion(URI, 0, 4)
        if is_told:
            client.notify(METHOD, {"item": item})
        await client.request("starcoder/status")
    path = tmp_path / "feedback.sqlite3"
    assert path.exists() is is_told
    if is_told:
        database = sqlite3.connect(path)
        assert database.execute("select outcome from suggestions").fetchall() == [("shown",)]
        database.close()
