"""Fast typing into a real server process: edits, requests and cancellations a few milliseconds apart."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND, INLINE_COMPLETION, URI, async_test, wait_until_ready
from starcoder_ls.lsp.client import PendingRequest, ResponseFailed, start

EVENTS = 200
PAUSE_S = 0.005


@pytest.mark.parametrize("seed", [1, 2])
@async_test
async def test_each_request_is_answered_once_and_the_last_correctly(seed: int) -> None:
    rng = random.Random(seed)
    engine = {"scripts": [["word", "(", ")", "\n"]], "token_s": 0.003}
    async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)], stderr=subprocess.DEVNULL) as client:
        await client.initialize({}, {**INLINE_COMPLETION, "general": {"positionEncodings": ["utf-16"]}})
        await wait_until_ready(client)
        client.open(URI, "")
        text, version, requests = "", 1, list[tuple[PendingRequest, str]]()
        for _ in range(EVENTS):
            version += 1
            inserted = rng.choice(["a", " ", "😀", "\f", "é"])
            client.change(URI, version, insert_at_end(text, inserted))
            text += inserted
            if rng.random() < 0.7:
                request = client.inline_completion(URI, 0, utf16_length(text), is_invoked=rng.random() < 0.2)
                requests.append((request, text))
            if requests and rng.random() < 0.4:
                client.cancel(rng.choice(requests)[0])
            await asyncio.sleep(PAUSE_S)
        last = await client.inline_completion(URI, 0, utf16_length(text))
        cursor = {"line": 0, "character": utf16_length(text)}
        assert [(item["insertText"], item["range"]) for item in last] == [("word()", {"start": cursor, "end": cursor})]
        answers = await asyncio.gather(*(pending.future for pending, _ in requests), return_exceptions=True)
        for (_, request_text), answer in zip(requests, answers, strict=True):
            if isinstance(answer, ResponseFailed):
                assert answer.code == -32800
            elif answer is not None:
                position = {"line": 0, "character": utf16_length(request_text)}
                assert answer[0]["range"] == {"start": position, "end": position}
        assert not client.unmatched_responses  # nothing was answered twice
        assert await client.shutdown() == 0


def insert_at_end(text: str, inserted: str) -> dict[str, Any]:
    position = {"line": 0, "character": utf16_length(text)}
    return {"range": {"start": position, "end": position}, "text": inserted}


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
