from __future__ import annotations

import pytest

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client
from starcoder_ls.features.copilot_inline_edit import METHOD as REQUEST
from starcoder_ls.features.did_show_inline_edit import METHOD


@pytest.mark.parametrize("is_shown", [True, False])
@async_test
async def test_line_that_shows_an_edit_gets_no_automatic_completion(is_shown: bool) -> None:
    async with initialized_client(ScriptedEngine([["m)", "\n"]])) as client:
        client.open(URI, "def f(n):\n    a(n)\n")
        span = {"start": {"line": 0, "character": 6}, "end": {"line": 0, "character": 7}}
        client.change(URI, 2, {"range": span, "text": "k"})
        params = {"textDocument": {"uri": URI, "version": 2}, "position": {"line": 0, "character": 7}}
        (edit,) = (await client.request(REQUEST, params))["edits"]
        if is_shown:
            client.notify(METHOD, {"item": {"command": edit["command"]}})
        assert bool(await client.inline_completion(URI, 1, 6)) is not is_shown
        assert await client.inline_completion(URI, 1, 6, is_invoked=True)
