from __future__ import annotations

import pytest

from fakes import ScriptedEngine, text_before_cursor
from harness import INLINE_COMPLETION, URI, async_test, initialized_client
from starcoder_ls.lsp.client import ResponseFailed
from starcoder_ls.settings import InlineCompletion, Settings


def at(line: int, character: int) -> dict[str, object]:
    return {"textDocument": {"uri": URI}, "position": {"line": line, "character": character}}


@async_test
async def test_the_prompt_told_is_the_prompt_asked() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "import os\n\nname = os.\nprint(name)\n")
        told = await client.request("starcoder/prompt", at(2, 10))
        assert not [request for request in engine.requests if request.max_new_tokens], "nothing is generated for it"
        await client.inline_completion(URI, 2, 10)
        asked = next(request for request in engine.requests if request.max_new_tokens)
        literals = [part if isinstance(part, str) else part.literal for part in asked.parts]
        assert [part["text"] for part in told["parts"]] == literals
        assert told["parts"][-1]["text"] + told["opening"] == text_before_cursor(asked)
        assert [part["text"] for part in told["parts"] if part["isSpecial"]] == [
            part.literal for part in asked.parts if not isinstance(part, str)
        ]
        assert told["tokens"] == sum(part["tokens"] for part in told["parts"])


@async_test
async def test_the_budget_is_that_of_the_settings() -> None:
    settings = Settings(inline_completion=InlineCompletion(prompt_tokens=100, max_new_tokens=7))
    async with initialized_client(ScriptedEngine(), settings) as client:
        client.open(URI, "x = 1\n" * 500 + "y = ")
        told = await client.request("starcoder/prompt", at(500, 4))
        assert told["budget"] == {"promptTokens": 100, "maxNewTokens": 7, "contextTokens": 8192}
        assert told["tokens"] < 120
        assert told["isWanted"] is True


@async_test
async def test_while_the_model_loads_the_prompt_is_refused_with_a_sentence() -> None:
    async with initialized_client(ScriptedEngine(load_s=5), capabilities=INLINE_COMPLETION, is_ready=False) as client:
        client.open(URI, "x = ")
        with pytest.raises(ResponseFailed, match="Reading the weights"):
            await client.request("starcoder/prompt", at(0, 4))
