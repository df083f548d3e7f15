from __future__ import annotations

import pytest

from fakes import ScriptedEngine, text_before_cursor
from harness import INLINE_COMPLETION, URI, async_test, initialized_client
from starcoder_ls.lsp.client import ResponseFailed
from starcoder_ls.settings import InlineCompletion, Settings


def position(line: int, character: int) -> dict[str, object]:
    return {"textDocument": {"uri": URI}, "position": {"line": line, "character": character}}


@async_test
async def test_prompt_is_the_one_of_the_next_request() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "import os\n\nname = os.\nprint(name)\n")
        result = await client.request("starcoder/prompt", position(2, 10))
        assert not [request for request in engine.requests if request.max_new_tokens], "nothing may be generated for it"
        await client.inline_completion(URI, 2, 10)
        request = next(request for request in engine.requests if request.max_new_tokens)
        literals = [part if isinstance(part, str) else part.literal for part in request.parts]
        assert [part["text"] for part in result["parts"]] == literals
        assert result["parts"][-1]["text"] + result["opening"] == text_before_cursor(request)
        assert [part["text"] for part in result["parts"] if part["isSpecial"]] == [
            part.literal for part in request.parts if not isinstance(part, str)
        ]
        assert result["tokens"] == sum(part["tokens"] for part in result["parts"])


@async_test
async def test_budget_is_that_of_the_settings() -> None:
    settings = Settings(inline_completion=InlineCompletion(prompt_tokens=100, max_new_tokens=7))
    async with initialized_client(ScriptedEngine(), settings) as client:
        client.open(URI, "x = 1\n" * 500 + "y = ")
        result = await client.request("starcoder/prompt", position(500, 4))
        assert result["budget"] == {"promptTokens": 100, "maxNewTokens": 7, "contextTokens": 8192}
        assert result["tokens"] < 120
        assert result["isWanted"] is True


@async_test
async def test_request_fails_with_a_reason_while_the_model_loads() -> None:
    async with initialized_client(
        ScriptedEngine(load_s=3600), capabilities=INLINE_COMPLETION, is_ready=False
    ) as client:
        client.open(URI, "x = ")
        with pytest.raises(ResponseFailed, match="Reading the weights"):
            await client.request("starcoder/prompt", position(0, 4))
