import sqlite3
from pathlib import Path

import pytest

from fakes import ScriptedEngine
from feedback_files import join_writers
from harness import URI, async_test, initialized_client
from starcoder_ls.features.did_partially_accept_completion import METHOD


@pytest.mark.parametrize(("units", "chars"), [(3, 3), (4, 3), (5, 4), (99, 8), (-1, 0)])
@async_test
async def test_accepted_length_counts_utf_16_units(
    units: int, chars: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    async with initialized_client(ScriptedEngine([["f('", "😀", "', x", "\n"]])) as client:
        client.open(URI, "x = \n")
        (item,) = await client.inline_completion(URI, 0, 4)
        client.notify(METHOD, {"item": item, "acceptedLength": units})
        client.notify(METHOD, {"item": item, "acceptedLength": "three"})
        await client.request("starcoder/status")
    join_writers()
    database = sqlite3.connect(tmp_path / "feedback.sqlite3")
    assert database.execute("select accepted_chars from suggestions").fetchall() == [(chars,)]
    database.close()
