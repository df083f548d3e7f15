"""Typing as it really is: edits, requests and cancels a few milliseconds apart, into a real process."""

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
async def test_in_a_storm_each_request_is_answered_once_and_the_last_one_rightly(seed: int) -> None:
    dice = random.Random(seed)
    engine = {"scripts": [["word", "(", ")", "\n"]], "token_s": 0.003}
    async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)], stderr=subprocess.DEVNULL) as client:
        await client.initialize({}, {**INLINE_COMPLETION, "general": {"positionEncodings": ["utf-16"]}})
        await wait_until_ready(client)
        client.open(URI, "")
        text, version, asked = "", 1, list[tuple[PendingRequest, str]]()
        for _ in range(EVENTS):
            version += 1
            piece = dice.choice(["a", " ", "😀", "\f", "é"])
            client.change(URI, version, insertion(text, piece))
            text += piece
            if dice.random() < 0.7:
                asked.append((client.inline_completion(URI, 0, units(text), is_invoked=dice.random() < 0.2), text))
            if asked and dice.random() < 0.4:
                client.cancel(dice.choice(asked)[0])
            await asyncio.sleep(PAUSE_S)
        last = await client.inline_completion(URI, 0, units(text))
        here = {"line": 0, "character": units(text)}
        assert [(item["insertText"], item["range"]) for item in last] == [("word()", {"start": here, "end": here})]
        answers = await asyncio.gather(*(pending.future for pending, _ in asked), return_exceptions=True)
        for (_, text_then), answer in zip(asked, answers, strict=True):
            if isinstance(answer, ResponseFailed):
                assert answer.code == -32800
            elif answer is not None:
                place = {"line": 0, "character": units(text_then)}
                assert answer[0]["range"] == {"start": place, "end": place}
        assert not client.unmatched_responses  # nothing was answered twice
        assert await client.shutdown() == 0


def insertion(text: str, piece: str) -> dict[str, Any]:
    place = {"line": 0, "character": units(text)}
    return {"range": {"start": place, "end": place}, "text": piece}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
